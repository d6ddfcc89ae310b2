#include "experiments/newcomers/newcomers.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <memory>

#include "core/base/error.h"
#include "core/base/logging.h"
#include "core/base/seeds.h"
#include "core/metrics/metrics.h"
#include "experiments/newcomers/kernel_svm.h"
#include "experiments/newcomers/learners.h"

namespace baleen {
namespace {

constexpr int64_t kTop = 4;

/// The images of each fold; both kinds are spread evenly.
std::vector<std::vector<int64_t>> make_folds(const at::Tensor& is_new_N, int64_t count,
                                             uint64_t seed) {
  std::vector<std::vector<int64_t>> folds(static_cast<size_t>(count));
  for (const bool wanted : {false, true}) {
    std::vector<int64_t> rows;
    for (int64_t row = 0; row < is_new_N.numel(); ++row)
      if ((is_new_N[row].item<double>() > 0) == wanted) rows.push_back(row);
    if (std::ssize(rows) < count) {
      throw Error(ErrorKind::kData,
                  fmt::format("{} images of {} individuals can't be spread over {} folds",
                              rows.size(), wanted ? "new" : "known", count));
    }
    CounterRandom random(derive_seed(seed, Stream::kFolds, {wanted}));
    shuffle(rows, random);
    for (size_t i = 0; i < rows.size(); ++i) folds[i % folds.size()].push_back(rows[i]);
  }
  for (auto& fold : folds) std::sort(fold.begin(), fold.end());
  return folds;
}

/// Features of training, held-out and test images, standardised by the training's.
struct Tables {
  at::Tensor train, held_out, test;
};

Tables standardised(const at::Tensor& train, const at::Tensor& held_out, const at::Tensor& test) {
  const at::Tensor mean = train.mean({0});
  const at::Tensor deviation = train.std({0}, /*unbiased=*/false);
  const at::Tensor scale = at::where(deviation > 0, deviation, at::ones_like(deviation));
  const auto apply = [&](const at::Tensor& x) { return (x - mean) / scale; };
  return {apply(train), apply(held_out), apply(test)};
}

/// A learner: probabilities of the held-out and of the test images, one after the other.
struct Learner {
  std::string name;
  std::function<at::Tensor(const Tables&, const at::Tensor& y)> fit_predict;
};

/// The SVM's decision values are calibrated on values of rows it had not seen: on half and half,
/// each with half of the strangers.
at::Tensor calibrated_svm(const Tables& tables, const at::Tensor& y, double c) {
  const int64_t n = y.numel();
  at::Tensor decided = at::empty({n}, at::kDouble);
  const at::Tensor by_class = at::argsort(y, /*stable=*/true);
  for (const int64_t half : {0, 1}) {
    const at::Tensor out = by_class.slice(0, half, n, 2);
    const at::Tensor in = by_class.slice(0, 1 - half, n, 2);
    const KernelModel model =
        fit_rbf_svm(tables.train.index_select(0, in), y.index_select(0, in), c);
    decided.index_copy_(0, out, decision(model, tables.train.index_select(0, out)));
  }
  const LinearModel platt = fit_platt(decided, y);
  const KernelModel whole = fit_rbf_svm(tables.train, y, c);
  const at::Tensor all = decision(whole, at::cat({tables.held_out, tables.test}));
  return at::sigmoid(decision(platt, all.unsqueeze(1)));
}

std::vector<Learner> make_learners(const NewcomerOptions& options,
                                   const std::shared_ptr<LightGbm>& light_gbm) {
  std::vector<Learner> learners;
  learners.push_back({"logistic", [c = options.c](const Tables& t, const at::Tensor& y) {
                        const LinearModel model = fit_logistic(t.train, y, c);
                        return at::sigmoid(decision(model, at::cat({t.held_out, t.test})));
                      }});
  learners.push_back({"svm", [c = options.c](const Tables& t, const at::Tensor& y) {
                        return calibrated_svm(t, y, c);
                      }});
  for (const int64_t k : options.neighbours) {
    learners.push_back({fmt::format("knn{}", k), [k](const Tables& t, const at::Tensor& y) {
                          return nearest_neighbours(t.train, y, at::cat({t.held_out, t.test}), k,
                                                    /*by_distance=*/false);
                        }});
  }
  if (light_gbm) {
    learners.push_back(
        {"lightgbm",
         [light_gbm, rounds = options.boosting_rounds](const Tables& t, const at::Tensor& y) {
           return light_gbm->fit_predict(t.train, y, at::cat({t.held_out, t.test}), rounds,
                                         {{"learning_rate", "0.05"}, {"num_leaves", "15"}});
         }});
  }
  return learners;
}

}  // namespace

at::Tensor top_four_features(const std::vector<at::Tensor>& scores_MNC, int64_t anchor) {
  const at::Tensor own = scores_MNC.at(static_cast<size_t>(anchor)).to(at::kDouble);
  at::Tensor columns = own.argsort(/*stable=*/true, 1, /*descending=*/true)
                           .narrow(1, 0, std::min(kTop, own.size(1)));
  while (columns.size(1) < kTop)
    columns = at::cat({columns, columns.narrow(1, columns.size(1) - 1, 1)}, 1);
  std::vector<at::Tensor> features{own.gather(1, columns)};
  for (int64_t m = 0; m < std::ssize(scores_MNC); ++m) {
    if (m != anchor)
      features.push_back(scores_MNC[static_cast<size_t>(m)].to(at::kDouble).gather(1, columns));
  }
  // An individual without a score (no images) is as bad as the worst that has one.
  at::Tensor all = at::cat(features, 1);
  const at::Tensor finite = at::isfinite(all);
  const double worst =
      finite.any().item<bool>() ? all.masked_select(finite).min().item<double>() : 0.0;
  return at::where(finite, all, at::full_like(all, worst));
}

NewcomerResult find_newcomers(const std::vector<at::Tensor>& scores_MNC, const at::Tensor& is_new_N,
                              const std::vector<at::Tensor>& test_MTC,
                              const NewcomerOptions& options) {
  if (scores_MNC.empty() || (!test_MTC.empty() && test_MTC.size() != scores_MNC.size()))
    throw Error(ErrorKind::kInternal, "scores of known and test images by different models");
  NewcomerResult result;
  std::shared_ptr<LightGbm> light_gbm;
  if (options.with_light_gbm) {
    try {
      light_gbm = std::make_shared<LightGbm>(options.light_gbm);
    } catch (const Error& error) {
      if (!options.light_gbm.empty()) throw;  // it was asked for by name
      result.missing = error.message();
      log_info("{}: newcomers are judged without it", error.message());
    }
  } else {
    result.missing = "LightGBM was not asked for";
  }
  const std::vector<Learner> learners = make_learners(options, light_gbm);
  const auto folds = make_folds(is_new_N, options.folds, options.seed);
  const at::Tensor y_N = is_new_N.gt(0).to(at::kDouble);
  const int64_t n = y_N.numel(), num_models = std::ssize(scores_MNC);
  const int64_t num_test = test_MTC.empty() ? 0 : test_MTC.front().size(0);
  result.oof_N = at::zeros({n}, at::kDouble);
  at::Tensor test_T = at::zeros({num_test}, at::kDouble);
  const double part = 1.0 / static_cast<double>(num_models * std::ssize(learners));
  for (int64_t anchor = 0; anchor < num_models; ++anchor) {
    const at::Tensor features = top_four_features(scores_MNC, anchor);
    const at::Tensor test = num_test ? top_four_features(test_MTC, anchor)
                                     : at::empty({0, features.size(1)}, at::kDouble);
    for (const Learner& learner : learners) {
      at::Tensor oof_N = at::empty({n}, at::kDouble);
      for (const auto& fold : folds) {
        at::Tensor inside = at::ones({n}, at::kBool);
        const at::Tensor out = at::tensor(fold, at::kLong);
        inside.index_fill_(0, out, false);
        const at::Tensor in = inside.nonzero().squeeze(1);
        const Tables tables =
            standardised(features.index_select(0, in), features.index_select(0, out), test);
        const at::Tensor both = learner.fit_predict(tables, y_N.index_select(0, in));
        oof_N.index_copy_(0, out, both.narrow(0, 0, out.numel()));
        test_T += both.narrow(0, out.numel(), num_test) * part / static_cast<double>(folds.size());
      }
      result.auc[learner.name] += roc_auc(y_N, oof_N) / static_cast<double>(num_models);
      result.oof_N += oof_N * part;
    }
  }
  result.auc["blend"] = roc_auc(y_N, result.oof_N);
  if (num_test) result.test_T = test_T;
  return result;
}

}  // namespace baleen
