// The second stage at the size of a competition: eleven models' predictions for all 40,479 labelled
// rows of Planet. `generate` makes them from the labels with noise; `run` stacks them, searches
// exact thresholds and simulates leaderboards, and prints times and memory as JSON.
// tests/benchmarks/compare_stack.py runs both sides in turn.

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/base/atomic_file.h"
#include "core/base/seeds.h"
#include "core/base/stopwatch.h"
#include "experiments/ensemble/contestants.h"
#include "experiments/ensemble/label_table.h"
#include "experiments/ensemble/leaderboard.h"
#include "tests/benchmarks/memory_status.h"

namespace baleen {
namespace {

constexpr int64_t kModels = 11, kFolds = 5;

template <class T>
void write_raw(const std::filesystem::path& file, const at::Tensor& values) {
  write_file_atomically(file,
                        std::string_view(reinterpret_cast<const char*>(values.const_data_ptr<T>()),
                                         static_cast<size_t>(values.numel()) * sizeof(T)));
}

template <class T>
at::Tensor read_raw(const std::filesystem::path& file, at::IntArrayRef shape, at::ScalarType type) {
  at::Tensor values = at::empty(shape, type);
  std::ifstream stream(file, std::ios::binary);
  stream.read(reinterpret_cast<char*>(values.data_ptr<T>()),
              static_cast<std::streamsize>(static_cast<size_t>(values.numel()) * sizeof(T)));
  if (!stream) throw Error(ErrorKind::kData, file.string() + " is too short");
  return values;
}

/// Each model sees each label through noise of its own, and rare labels less well.
void generate(const std::filesystem::path& labels_file, const std::filesystem::path& directory) {
  const LabelTable labels = read_label_table(labels_file);
  const int64_t n = labels.targets_NL.size(0), l = labels.targets_NL.size(1);
  const at::Tensor y = labels.targets_NL.contiguous();
  const double* truth = y.const_data_ptr<double>();
  at::Tensor p = at::empty({kModels, n, l}, at::kFloat);
  float* out = p.data_ptr<float>();
  for (int64_t m = 0; m < kModels; ++m) {
    CounterRandom random(derive_seed(7, Stream::kFolds, {static_cast<uint64_t>(m)}));
    const double signal = 1.0 + 0.05 * static_cast<double>(m);
    for (int64_t i = 0; i < n * l; ++i) {
      // What is hard for one model is hard for all; the sum of four uniform draws is near enough to
      // a normal one.
      CounterRandom shared(derive_seed(8, Stream::kFolds, {static_cast<uint64_t>(i)}));
      double noise = -6;
      for (int draw = 0; draw < 4; ++draw) noise += random.uniform() + 2 * shared.uniform();
      const double logit = signal * (truth[i] != 0 ? 1 : -1) + noise - 0.5;
      out[m * n * l + i] = static_cast<float>(1 / (1 + std::exp(-logit)));
    }
  }
  std::filesystem::create_directories(directory);
  write_raw<float>(directory / "predictions.f32", p);
  write_raw<double>(directory / "targets.f64", y);
  write_file_atomically(
      directory / "shape.json",
      nlohmann::json({{"models", kModels}, {"rows", n}, {"labels", l}, {"folds", kFolds}}).dump());
}

void run(const std::filesystem::path& directory) {
  const auto shape = nlohmann::json::parse(read_file(directory / "shape.json"));
  const int64_t n = shape["rows"], l = shape["labels"];
  StackInput input;
  input.oof_MNL = read_raw<float>(directory / "predictions.f32", {kModels, n, l}, at::kFloat);
  input.targets_NL = read_raw<double>(directory / "targets.f64", {n, l}, at::kDouble);
  for (int64_t m = 0; m < kModels; ++m) input.models.push_back(fmt::format("model{}", m));
  for (int64_t c = 0; c < l; ++c) input.labels.push_back(fmt::format("label{}", c));
  for (int64_t i = 0; i < n; ++i) {
    input.ids.push_back(std::to_string(i));
    input.folds.push_back(i % kFolds);
  }
  // Pools of threads and the linear algebra library are started before the clock.
  (void)at::linalg_eigh(at::eye(32, at::kDouble));
  at::parallel_for(0, 64, 1, [](int64_t, int64_t) {});
  const auto input_bytes = static_cast<int64_t>(input.oof_MNL.nbytes());
  const double input_mb = double(input_bytes) / (1 << 20);
  const double before_mb = status_mb("VmRSS");

  const Stopwatch clock;
  const StackResult stack = fit_stack(input, {.nested = true});
  const double fitted = clock.elapsed_s();
  const ThresholdOptions exact{.method = "exact"};
  const CrossFittedThresholds thresholds =
      cross_fit_thresholds(stack.oof_NL, input.targets_NL, input.folds, exact);
  const double searched = clock.elapsed_s();
  const at::Tensor score_N = sample_scores(StackMetric::kF, input.targets_NL, stack.oof_NL,
                                           thresholds.predicted_NL, exact);
  const LeaderboardSimulation simulation = simulate_leaderboard(score_N.unsqueeze(0), 0, {});
  const double simulated = clock.elapsed_s();

  write_raw<double>(directory / "baleen.f64", stack.oof_NL.contiguous());
  std::printf(
      "%s\n",
      nlohmann::json({{"fit_s", fitted},
                      {"thresholds_s", searched - fitted},
                      {"simulations_s", simulated - searched},
                      {"total_s", simulated},
                      {"f2", thresholds.score},
                      {"thresholds", thresholds.final.values_L},
                      {"gap_std", simulation.gap_std[0]},
                      {"input_bytes", input_bytes},
                      {"peak_over_input", (status_mb("VmHWM") - before_mb + input_mb) / input_mb},
                      {"threads", at::get_num_threads()}})
          .dump()
          .c_str());
}

}  // namespace
}  // namespace baleen

int main(int argc, char** argv) {
  const std::string verb = argc > 1 ? argv[1] : "";
  try {
    if (verb == "generate" && argc == 4) {
      baleen::generate(argv[2], argv[3]);
    } else if (verb == "run" && argc == 3) {
      baleen::run(argv[2]);
    } else {
      std::fprintf(stderr, "usage: stack_bench generate LABELS.csv DIR | run DIR\n");
      return 2;
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
