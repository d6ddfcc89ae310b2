#include "experiments/siamese/siamese_learning.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <unordered_map>
#include <utility>

#include "core/base/error.h"
#include "core/base/logging.h"
#include "core/base/stopwatch.h"
#include "core/nn/embedding_network.h"
#include "core/nn/pair_scores.h"
#include "data/pack/group_names.h"
#include "experiments/metric/pair_retrieval.h"
#include "experiments/siamese/pair_epochs.h"

namespace baleen {
namespace {

constexpr const char* kMinedAt = "mined_at";
constexpr const char* kNegative = "negative";
constexpr const char* kPositive = "positive";

at::Tensor rows_of(const at::Tensor& features_ND, std::span<const int64_t> positions) {
  return features_ND.index_select(
      0, at::tensor(std::vector<int64_t>(positions.begin(), positions.end()), at::kLong));
}

/// The mean score of an epoch's pairs, for the log.
double mean_score(const PairScores& scores, const at::Tensor& features_ND,
                  const std::vector<int64_t>& partners) {
  double sum = 0;
  int64_t count = 0;
  for (size_t i = 0; i < partners.size(); ++i) {
    if (partners[i] < 0) continue;
    const at::Tensor one = features_ND.narrow(0, static_cast<int64_t>(i), 1);
    sum += scores.probabilities(one, features_ND.narrow(0, partners[i], 1)).item<double>();
    ++count;
  }
  return count > 0 ? sum / static_cast<double>(count) : 0.0;
}

}  // namespace

MiningImages mining_images(const SampleTable& table, const std::vector<int64_t>& rows) {
  MiningImages images;
  std::unordered_map<std::string, int64_t> numbers;
  for (const int64_t row : rows) {
    images.identity.push_back(table.class_index(row));
    const std::string group = table.group(row), original = table.copy_of(row);
    const std::string picture = is_one_picture(group) ? "group:" + group
                                : original.empty()    ? "image:" + table.id(row)
                                                      : "image:" + original;
    images.picture.push_back(
        numbers.emplace(picture, static_cast<int64_t>(numbers.size())).first->second);
  }
  return images;
}

SiameseLearning::SiameseLearning(Setup setup) : setup_(std::move(setup)) {
  const MiningImages all = mining_images(*setup_.table, setup_.training_rows);
  std::set<int64_t> identities;
  for (const int64_t position : images_with_partners(all)) {
    const auto i = static_cast<size_t>(position);
    mined_rows_.push_back(setup_.training_rows[i]);
    images_.identity.push_back(all.identity[i]);
    images_.picture.push_back(all.picture[i]);
    identities.insert(all.identity[i]);
  }
  if (identities.size() >= 2) return;
  const std::set<int64_t> any(all.identity.begin(), all.identity.end());
  throw Error(ErrorKind::kData,
              identities.empty()
                  ? fmt::format("none of the {} ids in {} training images has two pictures",
                                any.size(), all.identity.size())
                  : fmt::format("of the {} ids in {} training images only one has two pictures, so "
                                "that there is nothing to tell apart",
                                any.size(), all.identity.size()),
              "a siamese network needs two ids with two pictures each in every fold's training "
              "images; copies and near duplicates that the packer grouped count as one picture");
}

void SiameseLearning::initialise(Backbone& network) {
  num_features_ = feature_length(network);  // refuses heads that are no linear layer
}

std::shared_ptr<Backbone> SiameseLearning::adapt(std::shared_ptr<Backbone> network) {
  auto siamese = std::make_shared<SiameseNetwork>(std::move(network));
  head_ = siamese->head();
  const PairBalance balance = setup_.section.smart_flips == "all"
                                  ? pair_balance_from_name(setup_.section.balance)
                                  : PairBalance::kNone;
  objective_ = std::make_unique<PairObjective>(head_, positive_weight(balance));
  return siamese;
}

void SiameseLearning::choose_batches(TrainingFeedOptions& feed) {
  const int64_t num_images = stage_.steps_per_epoch * stage_.batch;
  feed.epoch_samples = num_images;
  feed.order = [this, num_images, before = stage_.epochs_before](int64_t epoch) {
    return pair_epoch(list_of(before + epoch), mined_rows_, setup_.section, setup_.seed,
                      before + epoch, num_images);
  };
}

/// Whoever asks for an epoch after the last gets the last one's pairs.
const MinedList& SiameseLearning::list_of(int64_t chain_epoch) const {
  if (lists_.empty()) throw Error(ErrorKind::kInternal, "no pairs were mined");
  const int64_t last = std::ssize(lists_) - 1;
  return lists_[static_cast<size_t>(std::clamp<int64_t>(chain_epoch - mined_at_, 0, last))];
}

void SiameseLearning::begin_epoch(const EpochStart& start, Communicator& group) {
  if (start.epoch % setup_.section.mine_every_epochs == 0 || lists_.empty()) mine(start, group);
}

void SiameseLearning::mine(const EpochStart& start, Communicator& group) {
  const Stopwatch watch;
  const int64_t chain_epoch = stage_.epochs_before + start.epoch;
  if (group.rank() == 0)
    log_info("{}: epoch {}: mining pairs of {} images", setup_.chain, chain_epoch,
             mined_rows_.size());
  const at::Tensor features_ND = start.outputs(mined_rows_);
  const PairScores scores(*head_);
  const PairScorer scorer = [&](std::span<const int64_t> a, std::span<const int64_t> b) {
    return scores.probabilities(rows_of(features_ND, a), rows_of(features_ND, b));
  };
  MiningOptions options;
  options.block = setup_.section.block;
  options.noise =
      pair_noise(setup_.noise.empty() ? std::vector<PairNoise>() : setup_.noise.at(stage_.index),
                 start.epoch, chain_epoch);
  options.hard_positives = setup_.section.hard_positives;
  options.lists =
      std::clamp<int64_t>(stage_.epochs - start.epoch, 1, setup_.section.mine_every_epochs);
  options.threads = setup_.threads;
  options.stop = start.stop;
  lists_ = mine_pairs(images_, scorer, options, setup_.seed, chain_epoch, group);
  mined_at_ = chain_epoch;
  if (group.rank() != 0) return;
  log_info(
      "{}: epoch {}: pairs of {} images for {} epochs in {:.1f} s, {} images rest; noise {:g}; "
      "mean "
      "score of pairs of two ids {:.3f}, of one {:.3f}",
      setup_.chain, chain_epoch, mined_rows_.size(), options.lists, watch.elapsed_s(),
      setup_.training_rows.size() - mined_rows_.size(), options.noise,
      mean_score(scores, features_ND, lists_.front().negative),
      mean_score(scores, features_ND, lists_.front().positive));
}

std::optional<std::map<std::string, double>> SiameseLearning::judge(const HeldOut& images,
                                                                    Communicator& group) {
  std::vector<int64_t> labels;
  for (const int64_t row : images.rows) labels.push_back(setup_.dataset->class_index(row));
  const PairScores scores(*head_);
  const at::Tensor& features = images.predictions_NK;
  return retrieval_metrics(retrieval_by_pairs(
      [&](int64_t first, int64_t count) {
        return scores.logits(features.narrow(0, first, count), features);
      },
      labels, &group, images.stop));
}

NamedTensors SiameseLearning::state() const {
  NamedTensors all;
  if (lists_.empty()) return all;
  std::vector<at::Tensor> negative, positive;
  for (const MinedList& list : lists_) {
    negative.push_back(at::tensor(list.negative, at::kLong));
    positive.push_back(at::tensor(list.positive, at::kLong));
  }
  all.emplace_back(kMinedAt, at::tensor({mined_at_}, at::kLong));
  all.emplace_back(kNegative, at::stack(negative));
  all.emplace_back(kPositive, at::stack(positive));
  return all;
}

void SiameseLearning::load(const NamedTensors& state) {
  const std::map<std::string, at::Tensor> given(state.begin(), state.end());
  if (given.empty()) return;
  const auto n = static_cast<int64_t>(mined_rows_.size());
  const auto lists = [&](const char* name) {
    const auto found = given.find(name);
    const bool fits = found != given.end() && found->second.dim() == 2 &&
                      found->second.size(0) > 0 && found->second.size(1) == n &&
                      found->second.scalar_type() == at::kLong &&
                      found->second.ge(-1).logical_and(found->second.lt(n)).all().item<bool>();
    if (!fits)
      throw Error(ErrorKind::kData, "the checkpoint's pairs are not those of this chain",
                  "it was written for other training images");
    return found->second.contiguous();
  };
  const at::Tensor negative = lists(kNegative), positive = lists(kPositive);
  const auto mined_at = given.find(kMinedAt);
  if (mined_at == given.end() || mined_at->second.numel() != 1 ||
      positive.size(0) != negative.size(0))
    throw Error(ErrorKind::kData, "the checkpoint's pairs are not complete");
  mined_at_ = mined_at->second.item<int64_t>();
  lists_.clear();
  for (int64_t i = 0; i < negative.size(0); ++i) {
    const int64_t* from = negative.const_data_ptr<int64_t>() + i * n;
    const int64_t* same = positive.const_data_ptr<int64_t>() + i * n;
    lists_.push_back({{from, from + n}, {same, same + n}});
  }
}

}  // namespace baleen
