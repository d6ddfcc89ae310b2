#pragma once

#include <cmath>
#include <string>

#include "experiments/report/report_data.h"

namespace baleen::testing {

/// A made-up run with everything a report can show: 3 folds of 2 backbones with 2 stages, on 2
/// ranks, resumed once.
inline ReportData example_report(TargetKind kind) {
  const bool multi_label = kind == TargetKind::kMultiLabel;
  ReportData data;
  data.run_name = multi_label ? "planet-small" : "fashion";
  data.description = "3 folds of 2 backbones at 2 resolutions on 797 images";
  data.baleen_version = "0.1.0";
  data.started = "2026-03-01 12:00 UTC";
  data.status = ReportData::Status::kComplete;
  data.chains_planned = data.chains_finished = 6;
  data.wall_seconds = 754;
  data.ranks = 2;
  data.summary = {{"data", "797 samples, 17 labels"},
                  {"optimizer", "SGD, momentum 0.9, cosine from 0.05"},
                  {"stages", "64 px x 12 epochs, 96 px x 6 epochs"},
                  {"loss", "soft F2 + 0.5 BCE"}};
  data.environment = {
      {"host", "node-3"}, {"CPU", "2 cores"}, {"LibTorch", "2.11.0"}, {"plan", "3f5a9c01d2"}};
  data.config_yaml = "name: planet-small\nfolds:\n  count: 3\n";
  data.target_kind = kind;
  data.metric = multi_label ? "f2" : "accuracy";
  data.metric_title = multi_label ? "F2" : "Accuracy";
  using Kind = ReportScores::Kind;
  data.scores = {{Kind::kModel, "simplenet", {.8329, .8402, .8367}, .8366, .8312, 203.},
                 {Kind::kModel, "resnet18", {.8421, .8517, .8395}, .8444, .8405, 551.},
                 {Kind::kMean, "mean", {.8480, .8555, .8472}, .8502, .8467, {}},
                 {Kind::kStack, "stack", {.8531, .8609, .8498}, .8546, .8496, {}}};
  const char* labels[] = {"blow_down",      "conventional_mine",
                          "slash_burn",     "blooming",
                          "artisinal_mine", "selective_logging",
                          "bare_ground",    "cloudy",
                          "haze",           "habitation",
                          "cultivation",    "partly_cloudy",
                          "water",          "road",
                          "agriculture",    "clear",
                          "primary"};
  if (multi_label) {
    for (int l = 0; l < 17; ++l) {
      const double quality = 1 / (1 + std::exp(2 - 0.3 * l));
      data.labels.push_back({labels[l], int64_t(std::exp(0.41 * l)) + 1, .05 + .03 * l, quality,
                             quality * .9, std::min(1.0, quality * 1.06)});
    }
  } else {
    data.classes = {"T-shirt", "trouser", "pullover", "dress", "coat",
                    "sandal",  "shirt",   "sneaker",  "bag",   "ankle boot"};
    for (size_t r = 0; r < 10; ++r) {
      std::vector<int64_t>& row = data.confusion_CC.emplace_back(10, 0);
      for (size_t c = 0; c < 10; ++c)
        row[c] = r == c ? 5200 + int64_t(r) * 37 : int64_t((r * 7 + c * 13) % 11) * 9;
    }
    data.confusion_CC[6][0] = 690;
    data.confusion_CC[4][2] = 410;
  }
  const struct {
    const char* name;
    double start, rate, seconds;
  } backbones[] = {{"simplenet", .52, .17, 2.9}, {"resnet18", .48, .21, 8.4}};
  double clock[2] = {2.4, 2.4};
  for (int64_t fold = 0; fold < 3; ++fold) {
    for (int b = 1; b >= 0; --b) {
      const auto& backbone = backbones[b];
      const std::string chain = std::string(backbone.name) + "-f" + std::to_string(fold) + "-s1";
      const int rank = clock[0] <= clock[1] ? 0 : 1;
      for (int64_t epoch = 1; epoch <= 18; ++epoch) {
        const int64_t stage = epoch > 12;
        const double t = double(epoch) + (stage ? 3.5 : 0);
        const double wiggle = .018 * std::sin(double(epoch * 3 + fold * 5 + b));
        const double loss =
            backbone.start * std::exp(-backbone.rate * t) + .11 + .012 * double(fold) + .4 * wiggle;
        const double held = backbone.start * std::exp(-backbone.rate * t) + .16 + .003 * t +
                            .015 * double(fold) + wiggle;
        data.metrics.push_back(
            {.run = data.run_name,
             .chain = chain,
             .backbone = backbone.name,
             .fold = fold,
             .stage = stage,
             .size_px = stage ? 96 : 64,
             .epoch = epoch,
             .step = epoch * 33,
             .lr = .05,
             .train_loss = loss,
             .val = {{"loss", held},
                     {data.metric, .86 - .55 * std::exp(-.28 * t) - .02 * double(fold) - wiggle}},
             .samples_per_s = 180,
             .seconds = backbone.seconds * (stage ? 2.1 : 1),
             .time_s = 1.77e9});
      }
      for (int64_t stage = 0; stage < 2; ++stage) {
        const double length = backbone.seconds * (stage ? 12.6 : 12);
        data.timeline.push_back({rank, chain, backbone.name, fold, stage, stage ? 96 : 64,
                                 clock[rank], clock[rank] + length,
                                 fold == 1 && b == 1 && stage == 1});
        clock[rank] += length + .6;
      }
    }
  }
  data.marks = {{395.5, "resumed on 2 ranks"}};
  if (multi_label) {
    data.weight_models = {"simplenet", "resnet18"};
    for (int m = 0; m < 2; ++m) {
      std::vector<double>& row = data.weights_ML.emplace_back();
      for (int l = 0; l < 17; ++l) row.push_back(m ? .35 + .03 * l : .55 - .045 * l);
    }
    data.weight_labels.assign(std::begin(labels), std::end(labels));
  }
  const std::string pixel =
      "image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+"
      "M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
  using Group = ReportSample::Group;
  for (int i = 0; i < 12; ++i) {
    const Group group = i < 4 ? Group::kWorst : i < 8 ? Group::kConfusing : Group::kBest;
    data.samples.push_back(
        {group, "train_" + std::to_string(10000 + i * 37), pixel,
         "agriculture, clear, primary, road",
         group == Group::kBest ? "agriculture, clear, primary, road" : "clear, primary, water",
         group == Group::kBest ? "F2 1.00" : "F2 0.43"});
  }
  data.warnings = {"label blow_down has 1 positive sample: its score is not meaningful",
                   "label conventional_mine never occurs outside fold 2"};
  data.failures = {{"resnet18-f1-s1", "communication",
                    "rank 1 on node-3 was killed (signal 9) in stage 2\n  the chain went on from "
                    "its last checkpoint"}};
  return data;
}

}  // namespace baleen::testing
