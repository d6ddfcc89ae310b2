#include "experiments/chain_checkpoints.h"

#include <utility>

#include "core/base/error.h"
#include "core/base/logging.h"
#include "experiments/collective.h"

namespace baleen {
namespace {

/// [collective] What `read` gives on the group's first rank, on every rank. Two ranks may see
/// different files, where one of them has an old listing or a read fails, and must not go on from
/// different steps.
template <class Read>
std::optional<Checkpoint> as_on_first_rank(const CheckpointStore& store, Communicator& group,
                                           Read&& read) {
  std::optional<Checkpoint> found;
  on_first_rank(group, [&] { found = read(); });
  if (group.size() == 1) return found;
  const std::string record = group.broadcast(found ? found->record : std::string(), 0);
  agreed(group, [&] {
    if (group.rank() == 0 || record.empty()) return;
    with_context([] { return "loading the checkpoint that the group's first rank has chosen"; },
                 [&] { found = store.load(record); });
  });
  return found;
}

}  // namespace

ChainCheckpoints::ChainCheckpoints(std::filesystem::path directory, const TrainingSection& training)
    : store_(std::move(directory), training.keep_last),
      writer_(store_, training.checkpoint_share),
      every_steps_(training.checkpoint_every_steps) {}

std::optional<Checkpoint> ChainCheckpoints::load_latest(const std::string& identity,
                                                        Communicator& group) const {
  return as_on_first_rank(store_, group, [&] { return store_.load_latest(identity); });
}

std::optional<Checkpoint> ChainCheckpoints::load_best(int64_t stage, const std::string& identity,
                                                      Communicator& group) const {
  return as_on_first_rank(store_, group, [&] { return store_.load_best(stage, identity); });
}

void ChainCheckpoints::after_step(int64_t chain_steps, const Make& make) {
  if (every_steps_ > 0 ? chain_steps % every_steps_ == 0 : writer_.due()) save(make);
}

void ChainCheckpoints::after_epoch(bool best, const Make& make) {
  if (best) best_ = writer_.kept_copy(make());
  // The first epoch's end shows what a checkpoint costs.
  if (every_steps_ > 0 || !writer_.knows_cost() || writer_.due()) save(make);
}

void ChainCheckpoints::save_now(const Make& make) {
  save(make);
  writer_.wait();
}

void ChainCheckpoints::finish_best() {
  writer_.wait();
  if (best_) store_.save_best(*best_);
  best_.reset();
}

void ChainCheckpoints::finish_stage(const Checkpoint& next) {
  writer_.wait();
  store_.save(next);
}

int64_t ChainCheckpoints::remove_after(int64_t chain_steps) {
  try {
    writer_.wait();
  } catch (...) {
    log_warning("a checkpoint could not be written: {}", current_error().what());
  }
  return store_.remove_after(chain_steps);
}

void ChainCheckpoints::keep_epoch_start(const Checkpoint& start) {
  start_ = writer_.kept_copy(start);
  start_on_disk_ = false;
}

void ChainCheckpoints::find_epoch_start(int64_t stage, int64_t epoch, const std::string& identity) {
  start_ = store_.load_start(stage, epoch, identity);
  start_on_disk_ = start_.has_value();
}

void ChainCheckpoints::roll_back(double lr_factor) {
  writer_.wait();
  if (!start_)
    throw Error(ErrorKind::kData, "what the epoch began with is not kept: there is no way back",
                "remove this chain's directory to train it anew");
  Checkpoint start = std::move(*start_);
  start_.reset();
  start.state.lr_factor *= lr_factor;
  ++start.state.roll_backs;
  store_.remove_after(start.state.chain_steps);
  if (best_) store_.save_best(*best_);  // an earlier epoch, which this start comes after
  best_.reset();
  store_.save(start);
}

void ChainCheckpoints::save(const Make& make) {
  const Checkpoint now = make();
  const bool within_epoch = start_ && !start_on_disk_ && now.state.progress.next_step > 0 &&
                            now.state.stage == start_->state.stage &&
                            now.state.epoch == start_->state.epoch;
  writer_.save(now, std::exchange(best_, std::nullopt),
               within_epoch ? start_ : std::optional<Checkpoint>());
  start_on_disk_ = start_on_disk_ || within_epoch;
}

}  // namespace baleen
