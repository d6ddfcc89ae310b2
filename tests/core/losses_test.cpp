#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "core/base/error.h"
#include "core/losses/registry.h"

namespace baleen {
namespace {

at::Tensor doubles(std::vector<double> values, at::IntArrayRef shape) {
  return at::tensor(values, at::kDouble).view(shape);
}

// Five samples, four labels: with one, several, no and all positives.
at::Tensor golden_targets() {
  return doubles({1, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0}, {5, 4});
}
at::Tensor golden_probabilities() {
  return doubles({.9, .3, .4, .1, .2, .6, .55, 0, .1, 0, .05, .1, .2, .9, .7, .8, .1, .1, .9, .1},
                 {5, 4});
}
at::Tensor logits_of(const at::Tensor& probabilities) {
  return at::log(probabilities / (1.0 - probabilities));
}

std::unique_ptr<Loss> f2(const std::string& variant) {
  return make_loss({.kind = "soft_f2", .f2_variant = variant}, 4);
}

/// Value and gradient in the logits of a loss over one global batch, computed in `num_shards`
/// shards.
std::pair<double, at::Tensor> evaluate(const Loss& loss, const at::Tensor& logits_NK,
                                       const at::Tensor& targets, int64_t num_shards) {
  const int64_t count = logits_NK.size(0);
  const at::Tensor leaf = logits_NK.detach().clone().set_requires_grad(true);
  const auto all_logits = leaf.tensor_split(num_shards),
             all_targets = targets.tensor_split(num_shards);
  at::Tensor sums, weights;
  if (const BatchTerm* term = loss.batch_term()) {
    at::NoGradGuard no_grad;
    sums = at::zeros({term->num_statistics()}, at::kDouble);
    for (size_t s = 0; s < all_logits.size(); ++s)
      sums += term->statistics(all_logits[s], all_targets[s]);
    weights = gradient_at(*term, sums);
  }
  double total = 0.0;
  for (size_t s = 0; s < all_logits.size(); ++s) {
    total += loss.sum(all_logits[s], all_targets[s]).item<double>();
    shard_loss(loss, all_logits[s], all_targets[s], count, weights).backward();
  }
  return {global_loss(loss, total, count, sums), leaf.grad()};
}

void expect_central_differences(const Loss& loss, const at::Tensor& logits_NK,
                                const at::Tensor& targets) {
  const at::Tensor gradient = evaluate(loss, logits_NK, targets, 1).second;
  constexpr double kStep = 1e-6;
  for (int64_t i = 0; i < logits_NK.numel(); ++i) {
    const auto at_offset = [&](double offset) {
      at::Tensor moved = logits_NK.clone();
      moved.view(-1)[i] += offset;
      return evaluate(loss, moved, targets, 1).first;
    };
    const double numeric = (at_offset(kStep) - at_offset(-kStep)) / (2 * kStep);
    EXPECT_NEAR(gradient.view(-1)[i].item<double>(), numeric,
                1e-5 * std::max(1.0, std::abs(numeric)))
        << i;
  }
}

TEST(SoftF2Test, GoldenValuesPerSampleAndPerLabel) {
  const at::Tensor logits = logits_of(golden_probabilities()), targets = golden_targets();
  EXPECT_NEAR(evaluate(*f2("per_sample"), logits, targets, 1).first, 0.6140452273, 1e-9);
  EXPECT_NEAR(evaluate(*f2("per_label"), logits, targets, 1).first, 0.3400744320, 1e-9);
}

TEST(SoftF2Test, GlobalVariantIsTheMicroAverage) {
  const at::Tensor p = golden_probabilities(), y = golden_targets();
  const double tp = (p * y).sum().item<double>();
  const double expected = 1.0 - 5.0 * tp / (4.0 * y.sum().item<double>() + p.sum().item<double>());
  EXPECT_NEAR(evaluate(*f2("global"), logits_of(p), y, 1).first, expected, 1e-5);
}

TEST(SoftF2Test, GoldenGradientInTheProbabilities) {
  const at::Tensor p = golden_probabilities();
  const at::Tensor in_logits =
      evaluate(*f2("per_sample"), logits_of(p), golden_targets(), 1).second;
  const at::Tensor in_probabilities = in_logits / (p * (1.0 - p));
  const auto row = [&](int64_t n, int64_t l) { return in_probabilities[n][l].item<double>(); };
  EXPECT_NEAR(row(0, 0), -0.089276, 1e-6);
  EXPECT_NEAR(row(0, 1), 0.013817, 1e-6);
  EXPECT_NEAR(row(0, 2), -0.089276, 1e-6);
  EXPECT_NEAR(row(0, 3), 0.013817, 1e-6);
  EXPECT_NEAR(row(1, 0), 0.020963, 1e-6);
  EXPECT_NEAR(row(1, 1), -0.165953, 1e-6);
  EXPECT_NEAR(row(1, 2), 0.020963, 1e-6);
}

TEST(SoftF2Test, SampleWithoutPositivesTeachesNothing) {
  const at::Tensor gradient =
      evaluate(*f2("per_sample"), at::randn({3, 4}, at::kDouble), at::zeros({3, 4}), 1).second;
  EXPECT_TRUE(gradient.eq(0).all().item<bool>()) << gradient;
}

TEST(LossTest, GradientsAreTheCentralDifferences) {
  at::manual_seed(5);
  const at::Tensor logits = at::randn({6, 4}, at::kDouble);
  const at::Tensor labels = at::rand({6, 4}, at::kDouble).gt(0.6).to(at::kDouble);
  for (const char* variant : {"per_sample", "per_label", "global"}) {
    SCOPED_TRACE(variant);
    expect_central_differences(*f2(variant), logits, labels);
    expect_central_differences(
        *make_loss({.kind = "bce_soft_f2", .f2_variant = variant, .f2_weight = 0.3}, 4), logits,
        labels);
  }
  expect_central_differences(*make_loss({.kind = "bce", .pos_weight = {1, 2, 3, 0.5}}, 4), logits,
                             labels);
  expect_central_differences(*make_loss({.kind = "cross_entropy", .label_smoothing = 0.1}, 4),
                             logits, at::randint(4, {6}, at::kLong));
}

TEST(LossTest, ShardsAddUpToTheWholeBatch) {
  at::manual_seed(6);
  const at::Tensor logits = at::randn({11, 4}, at::kDouble);
  const at::Tensor labels = at::rand({11, 4}, at::kDouble).gt(0.6).to(at::kDouble);
  const at::Tensor classes = at::randint(4, {11}, at::kLong);
  for (const LossOptions& options :
       std::vector<LossOptions>{{.kind = "bce"},
                                {.kind = "cross_entropy"},
                                {.kind = "soft_f2"},
                                {.kind = "soft_f2", .f2_variant = "per_label"},
                                {.kind = "soft_f2", .f2_variant = "global"},
                                {.kind = "bce_soft_f2", .f2_variant = "per_label"}}) {
    const auto loss = make_loss(options, 4);
    const at::Tensor& targets = options.kind == "cross_entropy" ? classes : labels;
    const auto [value, gradient] = evaluate(*loss, logits, targets, 1);
    for (int64_t shards : {2, 3, 4}) {
      const auto [sharded_value, sharded_gradient] = evaluate(*loss, logits, targets, shards);
      EXPECT_NEAR(sharded_value, value, 1e-13) << options.kind << options.f2_variant;
      EXPECT_LT((sharded_gradient - gradient).abs().max().item<double>(), 1e-14)
          << options.kind << options.f2_variant;
    }
  }
}

TEST(BinaryCrossEntropyTest, IsTheMeanOverAllDecisions) {
  const at::Tensor z = at::randn({5, 3}, at::kDouble), y = at::rand({5, 3}).gt(0.5).to(at::kDouble);
  const at::Tensor p = at::sigmoid(z);
  const at::Tensor weight = doubles({1.0, 4.0, 0.5}, {3});
  const double plain = -(y * p.log() + (1 - y) * (1 - p).log()).mean().item<double>();
  const double weighted = -(weight * y * p.log() + (1 - y) * (1 - p).log()).mean().item<double>();
  EXPECT_NEAR(evaluate(*make_loss({}, 3), z, y, 1).first, plain, 1e-14);
  EXPECT_NEAR(evaluate(*make_loss({.pos_weight = {1.0, 4.0, 0.5}}, 3), z, y, 1).first, weighted,
              1e-14);
  EXPECT_NEAR(evaluate(*make_loss({.pos_weight = {1.0}}, 3), z, y, 1).first, plain, 1e-14);
}

TEST(BinaryCrossEntropyTest, LargeLogitsStayFinite) {
  const auto [value, gradient] =
      evaluate(*make_loss({}, 2), doubles({1e4, -1e4}, {1, 2}), doubles({0, 1}, {1, 2}), 1);
  EXPECT_DOUBLE_EQ(value, 1e4);
  EXPECT_DOUBLE_EQ(gradient[0][0].item<double>(), 0.5);
  EXPECT_DOUBLE_EQ(gradient[0][1].item<double>(), -0.5);
}

TEST(CrossEntropyTest, WithAndWithoutSmoothing) {
  const at::Tensor z = at::randn({5, 3}, at::kDouble), y = at::tensor({0, 2, 1, 1, 0}, at::kLong);
  const at::Tensor log_p = at::log_softmax(z, 1);
  const at::Tensor one_hot = at::one_hot(y, 3).to(at::kDouble);
  const double plain = -(one_hot * log_p).sum(1).mean().item<double>();
  const double smooth = -((0.8 * one_hot + 0.2 / 3) * log_p).sum(1).mean().item<double>();
  EXPECT_NEAR(evaluate(*make_loss({.kind = "cross_entropy"}, 3), z, y, 1).first, plain, 1e-14);
  EXPECT_NEAR(
      evaluate(*make_loss({.kind = "cross_entropy", .label_smoothing = 0.2}, 3), z, y, 1).first,
      smooth, 1e-14);
}

TEST(CrossEntropyTest, SharesOfClassesAreWeighed) {
  const at::Tensor z = at::randn({5, 3}, at::kDouble), y = at::tensor({0, 2, 1, 1, 0}, at::kLong);
  const at::Tensor one_hot = at::one_hot(y, 3).to(at::kFloat);
  const at::Tensor others = one_hot.flip({0});
  const at::Tensor log_p = at::log_softmax(z, 1);
  for (double smoothing : {0.0, 0.1}) {
    const auto loss = make_loss({.kind = "cross_entropy", .label_smoothing = smoothing}, 3);
    EXPECT_NEAR(evaluate(*loss, z, one_hot, 1).first, evaluate(*loss, z, y, 1).first, 1e-13);
    const at::Tensor shares = 0.25 * one_hot + 0.75 * others;
    const double expected = -(((1 - smoothing) * shares.to(at::kDouble) + smoothing / 3) * log_p)
                                 .sum(1)
                                 .mean()
                                 .item<double>();
    EXPECT_NEAR(evaluate(*loss, z, shares, 1).first, expected, 1e-13);
  }
  EXPECT_EQ(
      make_loss({.kind = "cross_entropy"}, 3)->sum(z.to(at::kBFloat16), one_hot).scalar_type(),
      at::kFloat);
}

TEST(LossTest, HalfPrecisionLogitsAreSummedInFloat) {
  const at::Tensor z = at::randn({64, 4}).to(at::kBFloat16),
                   y = at::rand({64, 4}).gt(0.5).to(at::kFloat);
  for (const char* kind : {"bce", "soft_f2", "bce_soft_f2"}) {
    const auto loss = make_loss({.kind = kind}, 4);
    EXPECT_EQ(loss->sum(z, y).scalar_type(), at::kFloat) << kind;
    EXPECT_EQ(loss->probabilities(z).scalar_type(), at::kFloat) << kind;
    EXPECT_TRUE(at::equal(loss->sum(z, y), loss->sum(z.to(at::kFloat), y))) << kind;
  }
}

TEST(LossTest, ProbabilitiesAreSigmoidsOrSumToOne) {
  const at::Tensor z = at::randn({4, 3}, at::kDouble);
  EXPECT_TRUE(at::equal(make_loss({.kind = "bce_soft_f2"}, 3)->probabilities(z), at::sigmoid(z)));
  EXPECT_TRUE(at::allclose(make_loss({.kind = "cross_entropy"}, 3)->probabilities(z).sum(1),
                           at::ones({4}, at::kDouble)));
}

void expect_refusal(const std::function<void()>& action, const std::string& part) {
  try {
    action();
    ADD_FAILURE() << "accepted: " << part;
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kConfiguration);
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  }
}

TEST(LossTest, ContradictionsAreRefused) {
  expect_refusal([] { make_loss({.kind = "mse"}, 3); }, "unknown loss 'mse'");
  expect_refusal([] { make_loss({.kind = "soft_f2", .f2_variant = "macro"}, 3); },
                 "unknown f2_variant 'macro'");
  expect_refusal([] { make_loss({.pos_weight = {1, 2}}, 3); }, "2 values for 3 labels");
  expect_refusal([] { make_loss({.pos_weight = {0.0}}, 3); }, "pos_weight holds 0");
  expect_refusal([] { make_loss({.kind = "soft_f2", .pos_weight = {1.0}}, 3); },
                 "pos_weight is given");
  expect_refusal([] { make_loss({.label_smoothing = 0.1}, 3); }, "label_smoothing is given");
  expect_refusal(
      [] {
        make_loss({}, 3)->sum(at::zeros({2, 3}), at::zeros({2}, at::kLong));
      },
      "cross_entropy");
  expect_refusal(
      [] {
        make_loss({.kind = "cross_entropy"}, 3)->sum(at::zeros({2, 3}), at::zeros({2, 4}));
      },
      "bce");
  expect_refusal(
      [] {
        make_loss({.kind = "cross_entropy"}, 3)
            ->sum(at::zeros({2, 3}), at::zeros({2, 3}, at::kLong));
      },
      "int64 class per sample");
}

/// gamma times the sum of all logits.
class ScaledSum final : public Loss {
 public:
  explicit ScaledSum(double gamma) : gamma_(gamma) {}
  at::Tensor sum(const at::Tensor& logits_NK, const at::Tensor&) const override {
    return gamma_ * logits_NK.sum();
  }
  const BatchTerm* batch_term() const override { return nullptr; }
  at::Tensor probabilities(const at::Tensor& logits_NK) const override { return logits_NK; }

 private:
  double gamma_;
};

LossRegistry registry_with_scaled_sum() {
  LossRegistry registry;
  register_losses(registry);
  registry.add({"scaled_sum", "", LossTargets::kAny, {{"gamma", 2.0}}},
               [](const LossOptions& options, int64_t) {
                 return std::make_unique<ScaledSum>(options.parameters.at("gamma"));
               });
  return registry;
}

TEST(LossRegistryTest, ALossOfAnExtensionGetsItsNumbersOrTheirDefaults) {
  const LossRegistry registry = registry_with_scaled_sum();
  const at::Tensor ones = at::ones({2, 3});
  EXPECT_EQ(registry.create({.kind = "scaled_sum"}, 3)->sum(ones, {}).item<double>(), 12.0);
  EXPECT_EQ(registry.create({.kind = "scaled_sum", .parameters = {{"gamma", 0.5}}}, 3)
                ->sum(ones, {})
                .item<double>(),
            3.0);
  EXPECT_EQ(registry.list().back().name, "scaled_sum");
}

TEST(LossRegistryTest, NamesParametersAndTargetsThatDoNotFitAreRefused) {
  LossRegistry registry = registry_with_scaled_sum();
  expect_refusal([&] { registry.create({.kind = "scaled_sun"}, 3); },
                 "did you mean 'scaled_sum'? known: bce, cross_entropy, soft_f2, bce_soft_f2, "
                 "box_mse, bce_dice, scaled_sum");
  expect_refusal(
      [&] {
        registry.create({.kind = "scaled_sum", .parameters = {{"gama", 1}}}, 3);
      },
      "did you mean 'gamma'?");
  expect_refusal(
      [&] {
        registry.create({.parameters = {{"gamma", 1}}}, 3);
      },
      "the loss 'bce' has no parameter 'gamma'; it has none");
  expect_refusal([&] { registry.create({.kind = "scaled_sum", .pos_weight = {2.0}}, 3); },
                 "pos_weight is given");
  EXPECT_NO_THROW(registry.check_targets("scaled_sum", LossTargets::kClasses));
  EXPECT_NO_THROW(registry.check_targets("scaled_sum", LossTargets::kLabels));
  EXPECT_NO_THROW(registry.check_targets("cross_entropy", LossTargets::kClasses));
  expect_refusal([&] { registry.check_targets("bce", LossTargets::kClasses); },
                 "take cross_entropy or scaled_sum");
  expect_refusal([&] { registry.check_targets("cross_entropy", LossTargets::kLabels); },
                 "take bce or soft_f2");
  try {
    registry.add({"bce", "", LossTargets::kAny, {}}, nullptr);
    ADD_FAILURE() << "a name was given twice";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("'bce' is registered twice"), std::string::npos);
  }
}

}  // namespace
}  // namespace baleen
