#include "core/training/step_graphs.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <exception>
#include <utility>

#include "core/base/logging.h"

namespace baleen {
namespace {

/// What recordings rely on: where the tensors lie, which are trained, in which mode layers are.
std::vector<int64_t> trait_list(const torch::nn::Module& network) {
  std::vector<int64_t> traits;
  const auto add = [&](const at::Tensor& tensor) {
    traits.push_back(reinterpret_cast<int64_t>(tensor.const_data_ptr()));
    traits.push_back(tensor.requires_grad() ? 1 : 0);
  };
  for (const at::Tensor& parameter : network.parameters()) add(parameter);
  for (const at::Tensor& buffer : network.buffers()) add(buffer);
  traits.push_back(network.is_training() ? 1 : 0);
  for (const auto& module : network.modules(/*include_self=*/false))
    traits.push_back(module->is_training() ? 1 : 0);
  return traits;
}

}  // namespace

StepGraphs::Form StepGraphs::form_of(const at::Tensor& tensor) {
  return {tensor.sizes().vec(), tensor.strides().vec(), tensor.scalar_type()};
}

void StepGraphs::begin_epoch(const torch::nn::Module& network) {
  std::vector<int64_t> traits = trait_list(network);
  if (traits == network_) return;
  network_ = std::move(traits);
  if (num_recorded() > 0) log_info("the network has changed: its training steps are recorded anew");
  entries_.clear();
}

int64_t StepGraphs::num_recorded() const {
  return std::count_if(entries_.begin(), entries_.end(),
                       [](const auto& entry) { return entry->work != nullptr; });
}

StepGraphs::Entry& StepGraphs::entry_of(const PassKind& kind, const at::Tensor& images,
                                        const at::Tensor& targets) {
  const Form images_form = form_of(images), targets_form = form_of(targets);
  for (const auto& entry : entries_) {
    if (entry->kind == kind && entry->images_form == images_form &&
        entry->targets_form == targets_form)
      return *entry;
  }
  Entry& entry = *entries_.emplace_back(std::make_unique<Entry>());
  entry.kind = kind;
  entry.images_form = images_form;
  entry.targets_form = targets_form;
  return entry;
}

void StepGraphs::give_up(const std::string& why) {
  why_not_ = why;
  entries_.clear();
  log_warning("training steps are not recorded as graphs but launched one by one: {}", why);
}

/// Leaves the entry with a recording, or gives up.
void StepGraphs::record(Entry& entry, const at::Tensor& images, const at::Tensor& targets,
                        const Pass& pass) {
  entry.images = at::empty_strided(images.sizes(), images.strides(), images.options());
  entry.targets = at::empty_strided(targets.sizes(), targets.strides(), targets.options());
  entry.images.copy_(images);
  entry.targets.copy_(targets);
  try {
    std::unique_ptr<RecordedWork> work = make_();
    work->record([&entry, pass] { entry.result = pass(entry.images, entry.targets); });
    entry.work = std::move(work);
    log_debug("recorded a training step for images of {}", fmt::join(images.sizes(), "x"));
  } catch (const std::exception& error) {
    const std::string what = error.what();
    give_up("a step could not be recorded: " + what.substr(0, what.find('\n')));
  }
}

ShardResult StepGraphs::run(const PassKind& kind, const at::Tensor& images,
                            const at::Tensor& targets, const Pass& pass) {
  if (!why_not_.empty()) return pass(images, targets);
  Entry* entry = &entry_of(kind, images, targets);
  if (!entry->work) {
    if (entry->num_eager < kWarmUp) {
      ++entry->num_eager;
      return pass(images, targets);
    }
    if (static_cast<size_t>(num_recorded()) >= kMaxKinds) {
      if (!std::exchange(too_many_, true))
        log_info("more than {} kinds of training steps: the others are not recorded", kMaxKinds);
      return pass(images, targets);
    }
    record(*entry, images, targets, pass);
    if (!why_not_.empty()) return pass(images, targets);  // the entries are gone
  } else {
    entry->images.copy_(images, /*non_blocking=*/true);
    entry->targets.copy_(targets, /*non_blocking=*/true);
  }
  entry->work->play();
  ++num_played_;
  return entry->result;
}

}  // namespace baleen
