// SPDX-License-Identifier: LGPL-2.1-or-later
// What people and programs say to a recording: keys, signals, and commands on standard input.
#include "record/recorder.hpp"

#include <unistd.h>
#include <utility>

namespace recorder {

using namespace discord;
using pipelines::human_name;
using pipelines::human_time;

void Recorder::mark(const std::string& label) {
  if (!elements_.record || started_ == 0) {
    event({{"event", "error"}, {"text", "The call has not been joined yet; nothing is marked."}});
    return;
  }
  const std::string name = label.empty() ? "Mark " + std::to_string(marks_ + 1) : label;
  marks_++;
  g_signal_emit_by_name(elements_.record.get(), "mark", name.c_str());
  say(human_time(elapsed()) + " " + human_name(name, 60));
  event({{"event", "mark"}, {"label", name}});
}

void Recorder::set_name(std::uint64_t user, const std::string& name) {
  if (!hears(user)) {
    return;
  }
  names_[user] = name;
  view_.set_name(user, name);
  if (!elements_.record) {
    return;
  }
  const ObjectPtr<GstPad> sink(gst_element_get_static_pad(elements_.record.get(), "sink"));
  gst_pad_send_event(
      sink.get(),
      gst_event_new_custom(GST_EVENT_CUSTOM_DOWNSTREAM,
                           gst_structure_new("discord-user-info", "user-id", G_TYPE_UINT64,
                                             static_cast<guint64>(user), "display-name",
                                             G_TYPE_STRING, valid(name).c_str(), nullptr)));
}

void Recorder::obey(const Command& command) {
  if (const auto* join = std::get_if<Join>(&command)) {
    if (elements_.pipeline) {
      event({{"event", "error"}, {"text", "This recording has its call already."}});
      return;
    }
    options_.credentials = join->credentials;
    const std::vector<std::string> missing = options_.credentials.missing();
    if (!missing.empty()) {
      std::string all;
      for (const std::string& name : missing) {
        all += " " + name;
      }
      event({{"event", "error"}, {"text", "To join a call these are missing:" + all + "."}});
      options_.credentials = Credentials();
    } else if (!start()) {
      g_main_loop_quit(loop_.get());
    }
  } else if (const auto* m = std::get_if<Mark>(&command)) {
    mark(m->label);
  } else if (const auto* name = std::get_if<Name>(&command)) {
    set_name(name->user_id, name->name);
  } else if (const auto* gain = std::get_if<Gain>(&command)) {
    const guint id = elements_.record
                         ? g_signal_lookup("speaker-gain", G_OBJECT_TYPE(elements_.record.get()))
                         : 0;
    if (id == 0) {
      event({{"event", "error"}, {"text", "There is no mix whose gains could be set."}});
      return;
    }
    g_signal_emit(elements_.record.get(), id, 0, static_cast<guint64>(gain->user_id), gain->gain);
  } else if (std::holds_alternative<Stats>(command)) {
    view_.update(chain());
    event(stats());
  } else {
    stop("It was asked for.");
  }
}

void Recorder::read_line() {
  g_data_input_stream_read_line_async(input_.get(), G_PRIORITY_DEFAULT, cancel_.get(), on_line,
                                      this);
}

void Recorder::on_line(GObject* source, GAsyncResult* result, gpointer data) {
  GError* raw = nullptr;
  gsize size = 0;
  const GCharPtr line(
      g_data_input_stream_read_line_finish(G_DATA_INPUT_STREAM(source), result, &size, &raw));
  const GErrorPtr error(raw);
  if (error && g_error_matches(error.get(), G_IO_ERROR, G_IO_ERROR_CANCELLED)) {
    return;  // the recorder may be gone
  }
  auto* self = static_cast<Recorder*>(data);
  if (!line) {
    self->stop("The program that controls the recording has ended its commands.");
    return;
  }
  if (size > 0) {
    const auto command = parse_command({line.get(), size});
    if (command.ok()) {
      self->obey(*command);
    } else {
      self->event({{"event", "error"}, {"text", command.error()}});
    }
  }
  if (!self->ended_) {
    self->read_line();
  }
}

gboolean Recorder::on_key(gint fd, GIOCondition, gpointer data) {
  auto* self = static_cast<Recorder*>(data);
  char key = 0;
  if (read(fd, &key, 1) != 1) {
    return G_SOURCE_REMOVE;
  }
  if (key == 'm' || key == 'M') {
    self->mark("");
  } else if (key == 'q' || key == 'Q') {
    self->stop("It was asked for.");
  }
  return G_SOURCE_CONTINUE;
}

gboolean Recorder::on_mark_signal(gpointer self) {
  static_cast<Recorder*>(self)->mark("");
  return G_SOURCE_CONTINUE;
}

gboolean Recorder::on_interrupt(gpointer data) {
  auto* self = static_cast<Recorder*>(data);
  if (self->stopping_) {
    self->fail("Stopped at once, by a second signal.");
  } else {
    self->stop("A signal asked for it.");
  }
  return G_SOURCE_CONTINUE;
}

}  // namespace recorder
