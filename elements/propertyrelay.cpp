// SPDX-License-Identifier: LGPL-2.1-or-later
#include "elements/propertyrelay.hpp"

#include <gst/gst.h>
#include <algorithm>

namespace discord {

namespace {

// The same property for another class. Names, nicks and blurbs are literals in this plugin.
GParamSpec* copy_of(GParamSpec* spec, const char* name) {
  const gchar* nick = g_param_spec_get_nick(spec);
  const gchar* blurb = g_param_spec_get_blurb(spec);
  // Whoever is inside tells of changes.
  const auto flags = static_cast<GParamFlags>(spec->flags | G_PARAM_EXPLICIT_NOTIFY);
  if (G_IS_PARAM_SPEC_STRING(spec)) {
    return g_param_spec_string(name, nick, blurb, G_PARAM_SPEC_STRING(spec)->default_value, flags);
  }
  if (G_IS_PARAM_SPEC_BOOLEAN(spec)) {
    return g_param_spec_boolean(name, nick, blurb, G_PARAM_SPEC_BOOLEAN(spec)->default_value,
                                flags);
  }
  if (G_IS_PARAM_SPEC_ENUM(spec)) {
    return g_param_spec_enum(name, nick, blurb, spec->value_type,
                             G_PARAM_SPEC_ENUM(spec)->default_value, flags);
  }
  if (G_IS_PARAM_SPEC_UINT64(spec)) {
    const auto* p = G_PARAM_SPEC_UINT64(spec);
    return g_param_spec_uint64(name, nick, blurb, p->minimum, p->maximum, p->default_value, flags);
  }
  if (G_IS_PARAM_SPEC_UINT(spec)) {
    const auto* p = G_PARAM_SPEC_UINT(spec);
    return g_param_spec_uint(name, nick, blurb, p->minimum, p->maximum, p->default_value, flags);
  }
  if (G_IS_PARAM_SPEC_INT(spec)) {
    const auto* p = G_PARAM_SPEC_INT(spec);
    return g_param_spec_int(name, nick, blurb, p->minimum, p->maximum, p->default_value, flags);
  }
  g_error("property %s is of a type that is not relayed yet", spec->name);
}

}  // namespace

void PropertyRelay::install(GObjectClass* outer, GType inner, std::size_t child,
                            const Names& names) {
  // The class, and with it its properties, stays: a static type is never unloaded.
  auto* klass = G_OBJECT_CLASS(g_type_class_ref(inner));
  guint count = 0;
  GParamSpec** specs = g_object_class_list_properties(klass, &count);
  for (guint i = 0; i < count; i++) {
    GParamSpec* spec = specs[i];
    if (spec->owner_type != inner) {
      continue;
    }
    const auto named = names.find(spec->name);
    const char* name = named != names.end() ? named->second : spec->name;
    if (*name == '\0') {
      continue;
    }
    const auto known = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& e) {
      return g_str_equal(e.outer->name, name);
    });
    if (known != entries_.end()) {
      known->targets.push_back({child, spec});
      continue;
    }
    GParamSpec* copy = copy_of(spec, name);
    g_object_class_install_property(outer, first_ + static_cast<guint>(entries_.size()), copy);
    entries_.push_back({copy, {{child, spec}}});
  }
  g_free(specs);
}

void PropertyRelay::set(guint id, const GValue* value,
                        const std::vector<GObject*>& children) const {
  for (const Target& target : entries_.at(id - first_).targets) {
    g_object_set_property(children.at(target.child), target.spec->name, value);
  }
}

void PropertyRelay::get(guint id, GValue* value, const std::vector<GObject*>& children) const {
  const Target& first = entries_.at(id - first_).targets.front();
  g_object_get_property(children.at(first.child), first.spec->name, value);
}

void PropertyRelay::notify(GObject* outer, const GParamSpec* spec) const {
  for (const Entry& entry : entries_) {
    if (entry.targets.front().spec == spec) {
      g_object_notify_by_pspec(outer, entry.outer);
    }
  }
}

}  // namespace discord
