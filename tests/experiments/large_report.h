#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "core/base/seeds.h"
#include "data/image/image.h"
#include "experiments/report_samples.h"
#include "tests/experiments/example_report.h"

namespace baleen::testing {

/// A picture as hard to compress as a photograph: slopes, edges and noise.
inline Image busy_image(int64_t size_px, uint64_t seed) {
  Image image(size_px, size_px, 3);
  CounterRandom random(derive_seed(seed, Stream::kFolds, {1}));
  const double slope = random.uniform() - 0.5, edge = random.uniform() * double(size_px);
  for (int64_t y = 0; y < size_px; ++y) {
    for (int64_t x = 0; x < size_px; ++x) {
      for (int64_t c = 0; c < 3; ++c) {
        const double value = 90 + 20 * double(c) + 60 * std::sin(double(x + y * (c + 1)) * 0.09) +
                             slope * double(y - x) + (double(x) > edge ? 45 : 0) +
                             36 * (random.uniform() - 0.5);
        image.pixels[static_cast<size_t>((y * size_px + x) * 3 + c)] =
            static_cast<uint8_t>(std::clamp(value, 0.0, 255.0));
      }
    }
  }
  return image;
}

/// What a picture of a page is: type and base64.
inline std::string busy_picture(int64_t size_px, uint64_t seed) {
  return embedded_picture(busy_image(size_px, seed).view(), size_px);
}

/// The winner's run of a competition: 11 networks on 5 folds, two stages, 17 labels, on 8 ranks.
/// @param epochs of each chain, all stages together
inline ReportData large_report(int64_t epochs, int64_t num_samples) {
  const char* names[] = {"resnet18",    "resnet34",     "resnet50",    "resnet101",
                         "resnet152",   "densenet121",  "densenet161", "densenet169",
                         "densenet201", "inception_v3", "simplenet"};
  constexpr int64_t kFolds = 5, kRanks = 8;
  ReportData data = example_report(TargetKind::kMultiLabel);
  data.run_name = "planet-all-networks-plain-and-dehazed-with-every-augmentation-2026-03-01";
  data.chains_planned = data.chains_finished = std::ssize(names) * kFolds;
  data.ranks = kRanks;
  data.wall_seconds = 181'000;
  data.scores.clear();
  data.metrics.clear();
  data.timeline.clear();
  data.samples.clear();
  data.weight_models.clear();
  data.weights_ML.clear();
  using Kind = ReportScores::Kind;
  std::vector<double> clock(kRanks, 3.0);
  for (size_t b = 0; b < std::size(names); ++b) {
    ReportScores row{Kind::kModel, names[b], {}, .915 + .001 * double(b), {}, 14000.};
    for (int64_t fold = 0; fold < kFolds; ++fold) {
      row.folds.emplace_back(.912 + .001 * double(b) + .002 * std::sin(double(fold + 3 * b)));
      const std::string chain = fmt::format("{}-f{}-s1", names[b], fold);
      for (int64_t epoch = 1; epoch <= epochs; ++epoch) {
        const double t = 30 * double(epoch) / double(epochs);
        const double wiggle = .01 * std::sin(double(epoch * 7 + fold * 5) + double(b));
        const bool second = epoch > epochs / 2;
        data.metrics.push_back({.run = data.run_name,
                                .chain = chain,
                                .backbone = names[b],
                                .fold = fold,
                                .stage = second,
                                .size_px = second ? 256 : 128,
                                .epoch = epoch,
                                .step = epoch * 500,
                                .lr = .05,
                                .train_loss = .5 * std::exp(-.15 * t) + .08 + .3 * wiggle,
                                .val = {{"loss", .5 * std::exp(-.15 * t) + .1 + wiggle},
                                        {"f2", .92 - .4 * std::exp(-.2 * t) - wiggle}},
                                .samples_per_s = 180.5,
                                .seconds = 61.25,
                                .time_s = 1.77e9});
      }
      const auto rank =
          static_cast<size_t>(std::min_element(clock.begin(), clock.end()) - clock.begin());
      for (int64_t stage = 0; stage < 2; ++stage) {
        const double length = 6000 + 300 * double(b) + 4000 * double(stage);
        data.timeline.push_back({static_cast<int>(rank), chain, names[b], fold, stage,
                                 stage ? 256 : 128, clock[rank], clock[rank] + length, false});
        clock[rank] += length + 4;
      }
    }
    data.weight_models.push_back(names[b]);
    std::vector<double>& weights = data.weights_ML.emplace_back();
    for (int l = 0; l < 17; ++l) weights.push_back(.3 * std::sin(double(b * 5) + l));
    data.scores.push_back(std::move(row));
  }
  data.scores.push_back(
      {Kind::kMean, "mean of models", {.927, .929, .928, .926, .93}, .928, {}, {}});
  data.scores.push_back({Kind::kStack, "stack", {.929, .931, .93, .928, .932}, .930, {}, {}});
  for (int64_t i = 0; i < num_samples; ++i) {
    data.samples.push_back({static_cast<ReportSample::Group>(i % 3), fmt::format("train_{}", i),
                            busy_picture(96, static_cast<uint64_t>(i)),
                            "agriculture, clear, cultivation, habitation, primary, road",
                            "agriculture, clear, primary, road", "F2 0.71"});
  }
  return data;
}

}  // namespace baleen::testing
