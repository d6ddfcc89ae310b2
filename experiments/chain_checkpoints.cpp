#include "experiments/chain_checkpoints.h"

#include <utility>

namespace baleen {

ChainCheckpoints::ChainCheckpoints(std::filesystem::path directory, const TrainingSection& training)
    : store_(std::move(directory), training.keep_last),
      writer_(store_, training.checkpoint_share),
      every_steps_(training.checkpoint_every_steps) {}

std::optional<Checkpoint> ChainCheckpoints::load_latest(const std::string& identity) const {
  return store_.load_latest(identity);
}

std::optional<Checkpoint> ChainCheckpoints::load_best(int64_t stage,
                                                      const std::string& identity) const {
  return store_.load_best(stage, identity);
}

void ChainCheckpoints::after_step(int64_t chain_steps, const Make& make) {
  if (every_steps_ > 0 ? chain_steps % every_steps_ == 0 : writer_.due()) save(make);
}

void ChainCheckpoints::after_epoch(bool best, const Make& make) {
  if (best) best_ = copy_of(make());
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

void ChainCheckpoints::save(const Make& make) {
  writer_.save(make(), std::exchange(best_, std::nullopt));
}

}  // namespace baleen
