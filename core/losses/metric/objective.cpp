#include "core/losses/metric/objective.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <limits>
#include <map>

#include "core/base/error.h"
#include "core/losses/metric/slices.h"

namespace baleen {
namespace {

constexpr const char* kMemoryName = "memory";
constexpr const char* kMemoryLabelsName = "memory_labels";

uint64_t key(int64_t value) { return static_cast<uint64_t>(value); }

}  // namespace

MetricObjective::MetricObjective(const MetricObjectiveOptions& options)
    : options_(options),
      module_(std::make_shared<torch::nn::Module>("MetricLoss")),
      memory_MD_(at::zeros({0, options.shape.dimension}, at::kDouble)),
      memory_labels_M_(at::zeros({0}, at::kLong)) {
  if (options_.losses.empty())
    throw Error(ErrorKind::kConfiguration, "metric.losses is empty", "name at least one loss");
  bool uses_memory = false;
  for (size_t i = 0; i < options_.losses.size(); ++i) {
    Part part;
    part.weight = options_.losses[i].weight;
    part.loss = make_embedding_loss(options_.losses[i], options_.shape);
    uses_memory = uses_memory || part.loss->takes_references();
    const NamedTensors own = part.loss->parameters();
    if (!own.empty()) {
      const auto child =
          module_->register_module(std::to_string(i), std::make_shared<torch::nn::Module>("Loss"));
      for (const auto& [name, tensor] : own)
        part.parameters.push_back(child->register_parameter(name, tensor));
    }
    parts_.push_back(std::move(part));
  }
  if (options_.memory > 0 && !uses_memory)
    throw Error(ErrorKind::kConfiguration,
                "metric.memory is set, but no loss compares embeddings with each other",
                "leave it out, or add margin, triplet or soft_triplet");
}

std::vector<at::Tensor> MetricObjective::parameters() const {
  std::vector<at::Tensor> all;
  for (const Part& part : parts_)
    all.insert(all.end(), part.parameters.begin(), part.parameters.end());
  return all;
}

at::Tensor MetricObjective::compared(const at::Tensor& rows_ND, const ColumnRange& columns) const {
  if (!options_.normalise) return rows_ND.narrow(1, columns.first, columns.size());
  if (columns.size() == options_.shape.dimension) return unit_slices(rows_ND, options_.num_slices);
  return unit_slices(rows_ND.narrow(1, columns.first, columns.size()), 1);
}

EmbeddingBatch MetricObjective::view(const BatchBlock& block, const at::Tensor& outputs_BD,
                                     const at::Tensor& targets_B, int64_t epoch, int64_t step,
                                     int64_t number) const {
  EmbeddingBatch batch;
  batch.columns = block.columns;
  const int64_t count = block.last_row - block.first_row;
  const at::Tensor rows = outputs_BD.narrow(0, block.first_row, count);
  batch.raw_BD = rows.narrow(1, block.columns.first, block.columns.size());
  batch.embeddings_BD = compared(rows, block.columns);
  batch.labels_B = targets_B.narrow(0, block.first_row, count).contiguous();
  batch.references_RD = batch.embeddings_BD;
  batch.labels_R = batch.labels_B;
  if (memory_MD_.size(0) > 0 && epoch >= options_.memory_from) {
    const at::Tensor remembered = compared(memory_MD_.to(outputs_BD.device()), block.columns);
    batch.references_RD = at::cat({batch.embeddings_BD, remembered});
    batch.labels_R = at::cat({batch.labels_B, memory_labels_M_});
  }
  batch.seed = derive_seed(options_.seed, Stream::kMining, {key(epoch), key(step), key(number)});
  return batch;
}

BatchObjective::Result MetricObjective::evaluate(const at::Tensor& outputs_BD,
                                                 const at::Tensor& targets_B, int64_t epoch,
                                                 int64_t step) {
  Result result;
  if (!at::isfinite(outputs_BD).all().item<bool>()) {
    // Not for the miners, which compare distances.
    result.loss = std::numeric_limits<double>::quiet_NaN();
    result.gradient_BD = at::zeros_like(outputs_BD);
    for (const at::Tensor& parameter : parameters())
      result.parameter_gradients.push_back(at::zeros_like(parameter));
    last_blocks_.clear();
    return result;
  }
  const at::AutoGradMode grad(true);
  const at::Tensor leaf = outputs_BD.detach().clone().set_requires_grad(true);
  std::vector<at::Tensor> inputs{leaf};
  std::vector<std::vector<at::Tensor>> forms;  // float64, of each part's parameters
  for (const Part& part : parts_) {
    std::vector<at::Tensor> own;
    for (const at::Tensor& parameter : part.parameters) {
      own.push_back(parameter.detach().to(leaf.device(), at::kDouble, false, /*copy=*/true));
      inputs.push_back(own.back().set_requires_grad(true));
    }
    forms.push_back(std::move(own));
  }
  std::vector<BatchBlock> blocks;
  if (focus_) {
    blocks = focus_(leaf.size(0), epoch, step);
  } else {
    blocks.push_back({0, leaf.size(0), {0, options_.shape.dimension}});
  }
  last_blocks_.clear();
  at::Tensor total = leaf.sum() * 0.0;
  for (size_t b = 0; b < blocks.size(); ++b) {
    const EmbeddingBatch batch =
        view(blocks[b], leaf, targets_B, epoch, step, static_cast<int64_t>(b));
    for (size_t i = 0; i < parts_.size(); ++i) {
      const double weight = parts_[i].weight / static_cast<double>(blocks.size());
      total = total + weight * parts_[i].loss->value(batch, forms[i]);
    }
    last_blocks_.push_back(batch);
  }
  result.loss = total.item<double>();
  const std::vector<at::Tensor> gradients =
      torch::autograd::grad({total}, inputs, /*grad_outputs=*/{}, /*retain_graph=*/std::nullopt,
                            /*create_graph=*/false, /*allow_unused=*/true);
  result.gradient_BD = gradients.front();
  const std::vector<at::Tensor> own = parameters();
  for (size_t i = 0; i < own.size(); ++i) {
    const at::Tensor& gradient = gradients[i + 1];
    result.parameter_gradients.push_back(gradient.defined()
                                             ? gradient.to(own[i].options().requires_grad(false))
                                             : at::zeros_like(own[i]));
  }
  for (EmbeddingBatch& batch : last_blocks_) batch.raw_BD = batch.raw_BD.detach();
  last_outputs_BD_ = outputs_BD.detach().to(at::kCPU);
  last_targets_B_ = targets_B;
  return result;
}

void MetricObjective::remember() {
  const int64_t size = options_.memory;
  if (size == 0) return;
  memory_MD_ = at::cat({memory_MD_, last_outputs_BD_});
  memory_labels_M_ = at::cat({memory_labels_M_, last_targets_B_});
  const int64_t surplus = std::max<int64_t>(memory_MD_.size(0) - size, 0);
  memory_MD_ = memory_MD_.narrow(0, surplus, memory_MD_.size(0) - surplus).clone();
  memory_labels_M_ =
      memory_labels_M_.narrow(0, surplus, memory_labels_M_.size(0) - surplus).clone();
}

void MetricObjective::step_done(bool applied) {
  const at::NoGradGuard no_grad;
  if (applied && !last_blocks_.empty()) {
    for (const EmbeddingBatch& batch : last_blocks_)
      for (const Part& part : parts_) part.loss->update(batch);
    remember();
  }
  last_blocks_.clear();
}

NamedTensors MetricObjective::state() const {
  NamedTensors all;
  for (size_t i = 0; i < parts_.size(); ++i)
    for (const auto& [name, tensor] : parts_[i].loss->buffers())
      all.emplace_back(fmt::format("{}.{}", i, name), tensor.clone());
  if (options_.memory > 0) {
    all.emplace_back(kMemoryName, memory_MD_.clone());
    all.emplace_back(kMemoryLabelsName, memory_labels_M_.clone());
  }
  return all;
}

void MetricObjective::load(const NamedTensors& state) {
  const std::map<std::string, at::Tensor> given(state.begin(), state.end());
  const auto find = [&](const std::string& name) -> const at::Tensor& {
    const auto found = given.find(name);
    if (found == given.end())
      throw Error(ErrorKind::kData, fmt::format("the checkpoint lacks the loss's '{}'", name),
                  "it was written with other losses");
    return found->second;
  };
  for (size_t i = 0; i < parts_.size(); ++i) {
    for (const auto& [name, tensor] : parts_[i].loss->buffers()) {
      const at::Tensor& saved = find(fmt::format("{}.{}", i, name));
      if (saved.sizes() != tensor.sizes())
        throw Error(ErrorKind::kData,
                    fmt::format("the checkpoint's '{}.{}' has another shape", i, name),
                    "it was written for other identities or another embedding");
      at::Tensor target = tensor;
      target.copy_(saved);
    }
  }
  if (options_.memory > 0) {
    memory_MD_ = find(kMemoryName).to(at::kDouble).clone();
    memory_labels_M_ = find(kMemoryLabelsName).to(at::kLong).clone();
  }
}

}  // namespace baleen
