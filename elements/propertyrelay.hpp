// Properties of a bin or a ghost pad that are those of objects inside it.
#pragma once

#include <glib-object.h>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace discord {

// One a class: which property is whose. Filled in class_init, read by any thread afterwards.
class PropertyRelay {
 public:
  // Own names of inner properties; empty: that property stays inside.
  using Names = std::map<std::string_view, const char*>;

  // Ids from `first` on are its own.
  explicit PropertyRelay(guint first) : first_(first) {}

  // Installs what the class `inner` adds to its parents. A property that is there already, under
  // that name, is from then on set on both; the first one's value is the one that is read.
  // `child` counts the inner objects.
  void install(GObjectClass* outer, GType inner, std::size_t child, const Names& names = {});

  bool knows(guint id) const noexcept { return id >= first_ && id - first_ < entries_.size(); }
  // `children` by the numbers they were installed with; none may be missing.
  void set(guint id, const GValue* value, const std::vector<GObject*>& children) const;
  void get(guint id, GValue* value, const std::vector<GObject*>& children) const;
  // When `inner` has told of a change of `spec`: `outer` does, under the name it has there.
  void notify(GObject* outer, const GParamSpec* spec) const;

 private:
  struct Target {
    std::size_t child;
    const GParamSpec* spec;
  };
  struct Entry {
    GParamSpec* outer;
    std::vector<Target> targets;
  };

  const guint first_;
  std::vector<Entry> entries_;
};

}  // namespace discord
