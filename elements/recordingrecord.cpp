// SPDX-License-Identifier: LGPL-2.1-or-later
// What a recording puts into its session record, and when.
#include "elements/ledgerquery.hpp"
#include "elements/ledgerstats.hpp"
#include "elements/recording.hpp"
#include "elements/recordreport.hpp"

#include <string>
#include <vector>

GST_DEBUG_CATEGORY_EXTERN(discordrecordsink_debug);
#define GST_CAT_DEFAULT discordrecordsink_debug

namespace discord {

void Recording::note_file(const OutputPtr& output, bool complete) {
  const auto branch = std::dynamic_pointer_cast<RecordBranch>(output);
  if (!branch) {
    return;
  }
  const std::string path = output->path();
  if (!path.empty() || settings_.matroska) {
    branch->log()->identify(branch->user_id(), branch->ssrc(), branch->name());
  }
  if (!path.empty()) {
    branch->log()->file(
        {path.substr(path.rfind('/') + 1), branch->begin(), branch->samples(), complete});
  }
}

void Recording::begin_record() {
  if (record_begun_ || !context()) {
    return;
  }
  record_begun_ = true;
  if (const std::string problem = record_.begin(folder_, started_at_, *context()->settings);
      !problem.empty()) {
    report_warning(GST_ELEMENT(bin_), "There is no record of the session. " + problem);
  }
}

// What the elements upstream counted; each time it is looked at whether it adds up.
StructurePtr Recording::ledgers() {
  const ObjectPtr<GstPad> sinkpad(gst_element_get_static_pad(GST_ELEMENT(bin_), "sink"));
  StructurePtr all = ask_for_ledgers(sinkpad.get());
  for (gint i = 0; i < gst_structure_n_fields(all.get()); i++) {
    const gchar* name = gst_structure_nth_field_name(all.get(), static_cast<guint>(i));
    const GstStructure* one = gst_value_get_structure(gst_structure_get_value(all.get(), name));
    if (!ledger_adds_up(one)) {
      // A mistake of this project, which whoever reads the record should know of.
      GST_WARNING_OBJECT(bin_, "the ledger of %s does not add up: %" GST_PTR_FORMAT, name,
                         static_cast<const void*>(one));
      ledgers_off_++;
    }
  }
  gst_structure_set(all.get(), "checks-failed", G_TYPE_UINT64, ledgers_off_, nullptr);
  return all;
}

void Recording::write_record(bool complete) {
  if (!record_begun_) {
    return;
  }
  const bool ended = complete;
  complete = complete && (!settings_.matroska || matroska_made_);
  SessionRecord::Open open;
  std::vector<OutputPtr> outputs;
  {
    Lock lock(mutex_);
    outputs = outputs_;
  }
  for (const OutputPtr& o : outputs) {
    if (const auto branch = std::dynamic_pointer_cast<RecordBranch>(o)) {
      open.emplace_back(branch->log(), &o->counts());
      note_file(o, false);
    }
  }
  const std::int64_t length = *context()->newest;
  if (!ended && length == record_length_) {
    return;  // nothing happened
  }
  record_length_ = length;
  // Who was not said to be a bot when they came.
  for (const guint64 user : record_.unheard()) {
    if (is_denied(user)) {
      record_.forget(user);
    }
  }
  if (!record_.write(folder_, length, open, ledgers().get(), complete)) {
    GST_DEBUG_OBJECT(bin_, "session record not written");  // what ails the disk is said elsewhere
  }
}

void Recording::on_news(const CallNews& news) {
  if (news.what != CallNews::What::encryption && is_denied(news.user)) {
    return;
  }
  const std::int64_t at = now();
  switch (news.what) {
    case CallNews::What::joined:
      record_.event({at, "joined", news.user, {}, 0, 0});
      break;
    case CallNews::What::left:
      record_.event({at, "left", news.user, {}, 0, 0});
      break;
    case CallNews::What::encryption:
      record_.event({at, "encryption", 0, news.privacy_code, news.version, news.epoch});
      break;
  }
}

}  // namespace discord
