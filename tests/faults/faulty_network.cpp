// A small network that misbehaves on some rank, for tests of how a run is watched:
//
//   BALEEN_FAULTY="what=slow rank=1 after=40 seconds=0.2"   sleeps in every training step from
//                                                           then on
//   BALEEN_FAULTY="what=pause rank=1 after=40 seconds=60"   sleeps once
//   BALEEN_FAULTY="what=diverge rank=1 after=40"            moves one weight by one ulp, once
//   BALEEN_FAULTY="what=fail network=2"                     the second network that the process
//                                                           trains fails, as do all later ones
//
// `after` counts the rank's own forward passes in training; without `rank` all ranks do it.
// `vary=0.3` makes each sleep shorter or longer by up to so large a part, drawn anew on each rank.
// Several faults are parted by semicolons.
#include <ATen/ATen.h>
#include <fmt/format.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <random>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "core/base/error.h"
#include "experiments/plugin.h"

namespace {

using namespace baleen;

struct Fault {
  std::string what;
  int64_t after = 0;
  double seconds = 0;
  double vary = 0;
  int64_t network = 1;

  bool due(int64_t forwards) const {
    return what == "slow" || what == "fail" ? forwards >= after : forwards == after;
  }
};

/// What this rank is to do wrong.
std::vector<Fault> faults_here() {
  std::vector<Fault> faults;
  const char* text = std::getenv("BALEEN_FAULTY");
  const char* rank = std::getenv("OMPI_COMM_WORLD_RANK");
  std::istringstream list(text ? text : "");
  for (std::string part; std::getline(list, part, ';');) {
    Fault fault;
    bool here = true;
    std::istringstream words(part);
    for (std::string word; words >> word;) {
      const size_t equal = word.find('=');
      if (equal == std::string::npos) continue;
      const std::string key = word.substr(0, equal), value = word.substr(equal + 1);
      if (key == "what") fault.what = value;
      if (key == "after") fault.after = std::atoll(value.c_str());
      if (key == "seconds") fault.seconds = std::atof(value.c_str());
      if (key == "vary") fault.vary = std::atof(value.c_str());
      if (key == "network") fault.network = std::atoll(value.c_str());
      if (key == "rank") here = rank && value == rank;
    }
    if (here) faults.push_back(fault);
  }
  return faults;
}

class FaultyNet final : public Backbone {
 public:
  explicit FaultyNet(const BackboneOptions& options)
      : faults_(faults_here()), random_(std::random_device{}()) {
    conv1_ = register_module(
        "conv1",
        torch::nn::Conv2d(torch::nn::Conv2dOptions(options.in_channels, 16, 3).padding(1)));
    bn1_ = register_module("bn1", torch::nn::BatchNorm2d(16));
    conv2_ = register_module(
        "conv2", torch::nn::Conv2d(torch::nn::Conv2dOptions(16, 32, 3).stride(2).padding(1)));
    fc_ = register_module("fc", torch::nn::Linear(32, options.num_outputs));
  }
  std::vector<at::Tensor> features(const at::Tensor& images_NCHW) override {
    misbehave();
    const at::Tensor first = at::relu(bn1_->forward(conv1_->forward(images_NCHW)));
    return {first, at::relu(conv2_->forward(first))};
  }
  at::Tensor forward(const at::Tensor& images_NCHW) override {
    return fc_->forward(features(images_NCHW).back().mean({2, 3}));
  }
  std::vector<int64_t> stage_channels() const override { return {16, 32}; }
  std::string stem_name() const override { return "conv1"; }
  std::string head_name() const override { return "fc"; }

 private:
  void misbehave() {
    if (faults_.empty() || !is_training()) return;
    static std::atomic<int64_t> num_trained{0};
    if (forwards_++ == 0) number_ = ++num_trained;
    for (const Fault& fault : faults_) {
      if (!fault.due(forwards_) || number_ < fault.network) continue;
      if (fault.what == "fail")
        throw Error(ErrorKind::kData, fmt::format("network {} fails as it was told", number_));
      if (fault.what == "diverge") {
        const at::NoGradGuard no_grad;
        float* value = conv2_->weight.data().mutable_data_ptr<float>();
        *value = std::nextafter(*value, std::numeric_limits<float>::infinity());
      } else {
        std::uniform_real_distribution<double> part(1 - fault.vary, 1 + fault.vary);
        std::this_thread::sleep_for(std::chrono::duration<double>(fault.seconds * part(random_)));
      }
    }
  }

  std::vector<Fault> faults_;
  std::mt19937 random_;  ///< of the clock only, never of results
  int64_t forwards_ = 0;
  int64_t number_ = 0;  ///< among the networks that the process trains, from 1
  torch::nn::Conv2d conv1_{nullptr}, conv2_{nullptr};
  torch::nn::BatchNorm2d bn1_{nullptr};
  torch::nn::Linear fc_{nullptr};
};

void add_faulty(Extensions& extensions) {
  extensions.backbones.add(
      {.name = "faulty", .description = "misbehaves when told to", .source = "tests"},
      [](const BackboneOptions& options) { return std::make_shared<FaultyNet>(options); });
}

}  // namespace

BALEEN_PLUGIN(add_faulty)
