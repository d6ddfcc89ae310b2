#pragma once

#include <cstdint>
#include <vector>

#include "core/base/error.h"
#include "experiments/journal.h"
#include "experiments/plan.h"

namespace baleen {

/// A chain that may be trained now, and how far.
struct ReleasedChain {
  int64_t chain = 0;        ///< index in the plan
  int64_t until_epoch = 0;  ///< over all stages; 0: to the end
  int64_t urgency = 0;  ///< in [0, kMostUrgent]: greater first, among equals of ChainSpec::priority
};

inline constexpr int64_t kMostUrgent = 999;

/// Decides which chains of a plan are trained, and how far, while the run is under way: a sweep's
/// rungs and its early stopping. Without one, a coordinator trains every chain to its end.
///
/// Called from the coordinator's thread. Decisions are journalled before they are returned.
class ChainSupply {
 public:
  virtual ~ChainSupply() = default;
  /// Asked while more ranks are idle than chains wait. Chains that the journal knows as handed out
  /// but not done come first. Empty: nothing for now; results of running chains may change that.
  virtual std::vector<ReleasedChain> more() = 0;
  /// Whether more() would return something.
  virtual bool has_more() const = 0;
  /// A chain was paused or finished; the record is in the journal.
  virtual void heard(const JournalRecord& record) = 0;
  /// A chain failed for good.
  /// @returns whether that is a result like any other: the run does not count as failed
  virtual bool given_up(const ChainSpec& chain, const Error& error) = 0;
  /// Chains that nobody needs any more, each told once.
  virtual std::vector<int64_t> take_dropped() = 0;
};

}  // namespace baleen
