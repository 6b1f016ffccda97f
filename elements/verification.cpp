// SPDX-License-Identifier: LGPL-2.1-or-later
#include "elements/verification.hpp"

#include "dave/codes.hpp"

#include <gio/gio.h>

#include <utility>

namespace discord {

namespace {

struct Work {
  VerificationRequest request;
  GstPromise* promise;  // a reference

  ~Work() { gst_promise_unref(promise); }
};

GstStructure* answer(std::uint64_t user, const char* field, const char* text) {
  return gst_structure_new("discord-verification-code", "user-id", G_TYPE_UINT64,
                           static_cast<guint64>(user), field, G_TYPE_STRING, text, nullptr);
}

void work_out(GTask*, gpointer, gpointer data, GCancellable*) {
  const Work& work = *static_cast<Work*>(data);
  const VerificationRequest& r = work.request;
  const auto code = dave::verification_code(r.own_key, r.own_user, r.key, r.user);
  gst_promise_reply(work.promise, code ? answer(r.user, "code", code->c_str())
                                       : answer(r.user, "error", "There is not enough memory."));
}

}  // namespace

GstPromise* promise_verification_code(VerificationRequest request) {
  GstPromise* promise = gst_promise_new();
  GTask* task = g_task_new(nullptr, nullptr, nullptr, nullptr);
  g_task_set_task_data(task, new Work{std::move(request), gst_promise_ref(promise)},
                       [](gpointer work) { delete static_cast<Work*>(work); });
  g_task_run_in_thread(task, work_out);
  g_object_unref(task);
  return promise;
}

GstPromise* refuse_verification_code(std::uint64_t user, const char* error) {
  GstPromise* promise = gst_promise_new();
  gst_promise_reply(promise, answer(user, "error", error));
  return promise;
}

}  // namespace discord
