#include "experiments/metric/metric_learning.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstring>
#include <functional>
#include <optional>
#include <utility>

#include "core/base/error.h"
#include "core/base/logging.h"
#include "core/base/seeds.h"
#include "core/nn/embedding_network.h"
#include "experiments/collective.h"

namespace baleen {
namespace {

constexpr const char* kClustersName = "clusters";
constexpr const char* kObjectivePrefix = "objective.";

/// Numbers the classes that occur, in their order.
std::vector<int64_t> numbered(const std::vector<int64_t>& classes, int64_t num_classes) {
  std::vector<int64_t> identity(static_cast<size_t>(num_classes), -1);
  for (const int64_t c : classes) identity[static_cast<size_t>(c)] = 0;
  int64_t next = 0;
  for (int64_t& id : identity)
    if (id == 0) id = next++;
  return identity;
}

std::vector<int64_t> looked_up(const std::vector<int64_t>& classes,
                               const std::vector<int64_t>& identity_of_class) {
  std::vector<int64_t> identities;
  for (const int64_t c : classes) identities.push_back(identity_of_class[static_cast<size_t>(c)]);
  return identities;
}

/// [collective] Rows of all ranks, in rank order.
at::Tensor gather_rows(const at::Tensor& rows, Communicator& group) {
  std::string bytes(static_cast<size_t>(rows.numel()) * sizeof(double), '\0');
  std::memcpy(bytes.data(), rows.const_data_ptr<double>(), bytes.size());
  const int64_t width = rows.size(1);
  std::vector<at::Tensor> all;
  for (const std::string& part : group.all_gather(bytes)) {
    at::Tensor of_rank =
        at::empty({static_cast<int64_t>(part.size() / sizeof(double)) / width, width}, at::kDouble);
    std::memcpy(of_rank.mutable_data_ptr<double>(), part.data(), part.size());
    all.push_back(of_rank);
  }
  return at::cat(all);
}

}  // namespace

/// The objective on identities of the training rows instead of the dataset's classes.
class MetricLearning::Identified final : public BatchObjective {
 public:
  Identified(const MetricObjectiveOptions& options, const std::vector<int64_t>& identity_of_class)
      : inner_(options), identity_of_class_(at::tensor(identity_of_class, at::kLong)) {}
  std::vector<at::Tensor> parameters() const override { return inner_.parameters(); }
  Result evaluate(const at::Tensor& outputs_BD, const at::Tensor& targets_B, int64_t epoch,
                  int64_t step) override {
    kept_.clear();
    trained_ = only_columns ? only_columns(epoch + epochs_before, step) : std::nullopt;
    if (trained_)
      for (const at::Tensor& rows : embedding_layer) kept_.push_back(rows.detach().clone());
    return inner_.evaluate(outputs_BD, identity_of_class_.index_select(0, targets_B),
                           epoch + epochs_before, step);
  }
  /// Puts back what the step was not to change.
  void updated() override {
    if (!trained_) return;
    const at::NoGradGuard no_grad;
    for (size_t i = 0; i < kept_.size(); ++i) {
      const int64_t end = trained_->first + trained_->size();
      for (const auto& [first, count] :
           {std::pair{int64_t{0}, trained_->first}, std::pair{end, kept_[i].size(0) - end}})
        embedding_layer[i].narrow(0, first, count).copy_(kept_[i].narrow(0, first, count));
    }
  }
  void step_done(bool applied) override { inner_.step_done(applied); }
  MetricObjective& inner() { return inner_; }

  int64_t epochs_before = 0;  ///< of the chain: the objective counts its epochs
  /// Where steps change one slice only, which; empty: they never do.
  std::function<std::optional<ColumnRange>(int64_t chain_epoch, int64_t step)> only_columns;
  /// Weight and bias of the embedding layer and the optimizer's tensors of them, a row per column.
  std::vector<at::Tensor> embedding_layer;

 private:
  MetricObjective inner_;
  at::Tensor identity_of_class_;
  std::optional<ColumnRange> trained_;
  std::vector<at::Tensor> kept_;
};

MetricLearning::MetricLearning(Setup setup)
    : setup_(std::move(setup)),
      identity_of_class_(numbered(setup_.classes, setup_.num_classes)),
      division_({.options = setup_.section.divide,
                 .images_per_id = setup_.section.images_per_id,
                 .prototype_images = setup_.section.prototype_images(),
                 .dimension = setup_.section.embedding,
                 .num_epochs = setup_.num_epochs,
                 .logical_shards = setup_.logical_shards},
                setup_.training_rows, looked_up(setup_.classes, identity_of_class_)) {
  for (const int64_t identity : identity_of_class_)
    num_identities_ = std::max(num_identities_, identity + 1);
  if (!setup_.flips) return;
  for (int64_t c = 0; c < setup_.num_classes; ++c) {
    const int64_t identity = identity_of_class_[static_cast<size_t>(c)];
    identity_of_class_.push_back(identity < 0 ? -1 : num_identities_ + identity);
  }
  num_identities_ *= 2;
}

MetricLearning::~MetricLearning() = default;

void MetricLearning::initialise(Backbone& network) {
  (void)feature_length(network);  // refuses heads that are no linear layer
  if (setup_.section.num_slices() > 1) initialise_head_slices(network, setup_.section.num_slices());
}

std::shared_ptr<Backbone> MetricLearning::adapt(std::shared_ptr<Backbone> network) {
  MetricObjectiveOptions options;
  options.losses = setup_.section.losses_or_default();
  options.shape = {setup_.section.embedding, num_identities_};
  options.num_slices = setup_.section.num_slices();
  options.normalise = setup_.section.normalise;
  options.memory = setup_.section.memory;
  options.memory_from = setup_.section.memory_from;
  options.seed = setup_.seed;
  objective_ = std::make_unique<Identified>(options, identity_of_class_);
  objective_->inner().set_focus([this](int64_t num_rows, int64_t chain_epoch, int64_t step) {
    return division_.focus(chain_epoch, step, num_rows);
  });
  return std::make_shared<EmbeddingNetwork>(std::move(network), objective_->inner().module());
}

std::vector<ParameterGroup> MetricLearning::regrouped(std::vector<ParameterGroup> groups) const {
  const std::string prefix = std::string(kMetricLossName) + ".";
  ParameterGroup own;
  own.lr_multiplier = setup_.section.loss_lr_multiplier;
  for (ParameterGroup& group : groups) {
    ParameterGroup others;
    others.lr_multiplier = group.lr_multiplier;
    others.weight_decay = group.weight_decay;
    for (size_t i = 0; i < group.names.size(); ++i) {
      ParameterGroup& to = group.names[i].starts_with(prefix) ? own : others;
      to.names.push_back(group.names[i]);
      to.parameters.push_back(group.parameters[i]);
    }
    group = std::move(others);
  }
  groups.push_back(std::move(own));
  std::erase_if(groups, [](const ParameterGroup& group) { return group.parameters.empty(); });
  return groups;
}

void MetricLearning::take_optimizer(Backbone& network, const Optimizer& optimizer) {
  if (!setup_.section.divide.mask_update) return;
  const std::string prefix = network.head_name() + ".";
  objective_->embedding_layer.clear();
  for (const auto& item : network.named_parameters())
    if (item.key().starts_with(prefix)) objective_->embedding_layer.push_back(item.value());
  for (const auto& [name, tensor] : optimizer.state())
    if (name.starts_with(prefix)) objective_->embedding_layer.push_back(tensor);
  objective_->only_columns = [this](int64_t chain_epoch, int64_t step) {
    return division_.only_columns(chain_epoch, step);
  };
}

BatchObjective* MetricLearning::objective() {
  objective_->epochs_before = stage_.epochs_before;
  return objective_.get();
}

void MetricLearning::choose_batches(TrainingFeedOptions& feed) {
  feed.order = [this, stage = stage_](int64_t epoch) {
    return division_.order(epoch + stage.epochs_before, stage.steps_per_epoch, stage.batch,
                           stage.seed);
  };
}

void MetricLearning::begin_epoch(const EpochStart& start, Communicator& group) {
  const int64_t chain_epoch = stage_.epochs_before + start.epoch;
  if (!division_.clusters_at(chain_epoch)) return;
  const at::Tensor features = start.features();
  if (group.rank() == 0)
    log_info("{}: epoch {}: clustering {} images", setup_.chain, chain_epoch, features.size(0));
  KMeansShare share;
  share.rank = group.rank();
  share.num_ranks = group.size();
  share.gather = [&group](const at::Tensor& rows) { return gather_rows(rows, group); };
  share.check_stop = [&group, &start] {
    if (group.any(start.stop())) throw_interrupted();
  };
  const DivideAndConquer::Report report =
      division_.cluster(features, chain_epoch, setup_.seed, share);
  if (group.rank() == 0) log(report, chain_epoch);
}

void MetricLearning::log(const DivideAndConquer::Report& report, int64_t chain_epoch) const {
  std::string text = fmt::format(
      "{}: epoch {}: clusters of {} images ({:.1f} % used), inertia {:.4g} after {} iterations",
      setup_.chain, chain_epoch, fmt::join(report.sizes, ", "), 100 * report.used, report.inertia,
      report.iterations);
  if (report.reseeded > 0) text += fmt::format(", {} were empty", report.reseeded);
  if (report.relabelled)
    text += fmt::format("; {:.1f} % keep their learner, NMI {:.3f}, exchange cost {} -> {}",
                        100 * report.kept, report.mutual_information, report.cost_before,
                        report.cost_after);
  log_info("{}", text);
}

NamedTensors MetricLearning::state() const {
  NamedTensors all;
  if (!division_.clusters().empty())
    all.emplace_back(kClustersName, at::tensor(division_.clusters(), at::kLong));
  for (const auto& [name, tensor] : objective_->inner().state())
    all.emplace_back(kObjectivePrefix + name, tensor);
  return all;
}

void MetricLearning::load(const NamedTensors& state) {
  NamedTensors of_objective;
  for (const auto& [name, tensor] : state) {
    if (name == kClustersName) {
      const at::Tensor clusters = tensor.to(at::kLong).contiguous();
      const int64_t* cells = clusters.const_data_ptr<int64_t>();
      division_.set_clusters({cells, cells + clusters.numel()});
    } else if (name.starts_with(kObjectivePrefix)) {
      of_objective.emplace_back(name.substr(std::strlen(kObjectivePrefix)), tensor);
    }
  }
  objective_->inner().load(of_objective);
}

}  // namespace baleen
