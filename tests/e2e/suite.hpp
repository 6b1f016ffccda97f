// Calls that run at the same time: each takes its seconds whatever the machine does, and they are
// the same seconds for all calls of a suite.
#pragma once

#include "examine.hpp"
#include "people.hpp"

#include <future>
#include <map>
#include <semaphore>

namespace discord::e2e {

class Suite : public Calls {
 protected:
  static void TearDownTestSuite() { calls().clear(); }

  // `places`, which outlive the suite, limit how many calls run at a time.
  using Places = std::counting_semaphore<>;
  static void begin(const std::string& name, CallPlan plan, Places* places = nullptr) {
    const auto run = [plan = std::move(plan), places] {
      if (places != nullptr) {
        places->acquire();
      }
      Outcome outcome = record(plan);
      if (places != nullptr) {
        places->release();
      }
      return outcome;
    };
    calls()[name] = std::async(std::launch::async, run).share();
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
