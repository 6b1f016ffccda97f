// The main of every element test: GStreamer is up around all tests, and under GST_TRACERS=leaks
// whatever a test left alive fails the run.
#include <gst/gst.h>
#include <gtest/gtest.h>

namespace {

class NothingStaysAlive : public testing::Environment {
 public:
  void TearDown() override {
    // A task lives a moment longer than the pad whose task it was.
    gst_task_cleanup_all();
    GList* tracers = gst_tracing_get_active_tracers();
    for (GList* t = tracers; t != nullptr; t = t->next) {
      if (g_strcmp0(G_OBJECT_TYPE_NAME(t->data), "GstLeaksTracer") == 0) {
        check(G_OBJECT(t->data));
      }
    }
    g_list_free_full(tracers, gst_object_unref);
  }

 private:
  static void check(GObject* leaks) {
    GstStructure* info = nullptr;
    g_signal_emit_by_name(leaks, "get-live-objects", &info);
    const GValue* list = gst_structure_get_value(info, "live-objects-list");
    const guint n = list != nullptr ? gst_value_list_get_size(list) : 0;
    for (guint i = 0; i < n; i++) {
      const auto* one =
          static_cast<const GstStructure*>(g_value_get_boxed(gst_value_list_get_value(list, i)));
      gchar* text = gst_structure_to_string(one);
      ADD_FAILURE() << "still alive: " << text;
      g_free(text);
    }
    gst_structure_free(info);
  }
};

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  gst_init(&argc, &argv);
  testing::AddGlobalTestEnvironment(new NothingStaysAlive);
  const int result = RUN_ALL_TESTS();
  gst_deinit();
  return result;
}
