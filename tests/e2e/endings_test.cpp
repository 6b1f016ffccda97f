// However a recording ends, its files are complete.
#include "suite.hpp"

#include <fcntl.h>
#include <filesystem>
#include <unistd.h>

namespace discord::e2e {

using namespace loopback;
using namespace std::chrono_literals;
using nlohmann::json;

class Endings : public Suite {
 protected:
  static void SetUpTestSuite() {
    if (!can_talk()) {
      return;
    }
    begin("close", {.server = closing(4006), .end = CallPlan::End::session});
    begin("kicked", {.server = closing(4014), .end = CallPlan::End::session});
    begin("stop", {.server = call_of(2, 2), .end = CallPlan::End::stop});
    begin("disk", {.server = call_of(3), .during = break_disk});
    begin("refused", {.server = refused(), .source = "e2ee=off", .end = CallPlan::End::session});
  }

  static Options closing(int code) {
    Options options = call_of(2, 2);
    options.script.push_back({3s, json{{"do", "close"}, {"code", code}}});
    return options;
  }

  static Options refused() {
    Options options = call_of(1);
    options.dave.delivery.version = 1;
    return options;
  }

  // The descriptor of the first file becomes one that cannot be written to, as on a disk that
  // failed.
  static void break_disk(const Live& live) {
    live.wait_for_packets(120);
    gchar* location = nullptr;
    g_object_get(live.element("rec").get(), "location", &location, nullptr);
    const GCharPtr folder(location);
    int fd = -1;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd", error)) {
      const std::string target = std::filesystem::read_symlink(entry.path(), error).string();
      if (target.starts_with(folder.get()) && target.ends_with(".wav")) {
        fd = std::stoi(entry.path().filename().string());
        break;
      }
    }
    if (fd >= 0) {
      const std::string same = "/proc/self/fd/" + std::to_string(fd);
      const int reading = open(same.c_str(), O_RDONLY | O_CLOEXEC);
      dup3(reading, fd, O_CLOEXEC);
      close(reading);
    }
  }
};

TEST_F(Endings, ASessionThatIsClosedIsOneErrorAndCompleteFiles) {
  for (const char* name : {"close", "kicked"}) {
    const Verdict verdict = judge(name);
    EXPECT_GE(verdict.spurts.size(), 2u) << name;
    const Outcome call = outcome(name);
    ASSERT_EQ(call.errors.size(), 1u) << name;
    std::printf("  %s: %s\n", name, call.errors[0].c_str());
    EXPECT_EQ(call.files.size(), 2u) << name;
  }
}

TEST_F(Endings, StoppingWithoutEosCompletesTheFiles) {
  const Verdict verdict = judge("stop");
  EXPECT_EQ(verdict.spurts.size(), 4u);
  EXPECT_TRUE(outcome("stop").errors.empty());
}

TEST_F(Endings, ACallThatDemandsEncryptionIsOneErrorAndNoFiles) {
  judge("refused");
  EXPECT_EQ(outcome("refused").errors.size(), 1u);
  EXPECT_TRUE(outcome("refused").on_disk.empty());
}

TEST_F(Endings, OneBrokenFileLeavesTheOthersAlone) {
  const Outcome call = outcome("disk");
  ASSERT_TRUE(call.problem.empty()) << call.problem;
  EXPECT_TRUE(call.errors.empty());
  EXPECT_EQ(call.warnings.size(), 1u);
  for (const std::string& warning : call.warnings) {
    std::printf("  disk: %s\n", warning.c_str());
  }
  EXPECT_EQ(call.files.size(), 3u);
  // The whole of the others, and of the broken one what had been written.
  std::vector<std::size_t> lengths;
  for (const RecordedFile& file : call.files) {
    lengths.push_back(read_track(file.path).frames());
  }
  std::sort(lengths.begin(), lengths.end());
  ASSERT_EQ(lengths.size(), 3u);
  EXPECT_GT(lengths[0], 0u);
  EXPECT_LT(lengths[0], lengths[1]);
  EXPECT_EQ(lengths[1], lengths[2]);
}

}  // namespace discord::e2e
