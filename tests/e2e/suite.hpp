// Calls that run at the same time: each takes its seconds whatever the machine does, and they are
// the same seconds for all calls of a suite.
#pragma once

#include "examine.hpp"
#include "people.hpp"

#include <future>
#include <map>

namespace discord::e2e {

class Suite : public Calls {
 protected:
  static void TearDownTestSuite() { calls().clear(); }

  static void begin(const std::string& name, CallPlan plan) {
    calls()[name] = std::async(std::launch::async, record, std::move(plan)).share();
  }
  static Outcome outcome(const std::string& name) { return calls().at(name).get(); }

  // Prints the spurts of a call and fails for everything that does not hold.
  static Verdict judge(const std::string& name, const Bounds& bounds = {}) {
    const Verdict verdict = examine(outcome(name), bounds);
    print(name, verdict);
    for (const std::string& problem : verdict.problems) {
      ADD_FAILURE() << name << ": " << problem;
    }
    return verdict;
  }

 private:
  static std::map<std::string, std::shared_future<Outcome>>& calls() {
    static std::map<std::string, std::shared_future<Outcome>> running;
    return running;
  }
};

}  // namespace discord::e2e
