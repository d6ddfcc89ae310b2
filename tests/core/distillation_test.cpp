// Learning from a teacher: golden values, PyTorch's KLDivLoss, and what is refused.
#include "core/losses/distillation.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/losses/registry.h"
#include "core/weights/safetensors.h"
#include "tests/parity/oracle.h"
#include "tests/support/temporary_directory.h"

namespace baleen {
namespace {

Distillation of_classes(double temperature, double smoothing = 0) {
  return {make_loss({.kind = "cross_entropy", .label_smoothing = smoothing}, 3), true, temperature};
}

TEST(DistillationTest, GoldenDivergence) {
  const at::Tensor teacher = at::softmax(at::tensor({3.0, 1.0, 0.0}, at::kDouble), 0).unsqueeze(0);
  const at::Tensor student = at::tensor({2.0, 1.0, 0.5}, at::kDouble).unsqueeze(0);
  EXPECT_NEAR(of_classes(4).divergence(student, teacher).item<double>(), .2023992, 5e-8);
}

TEST(DistillationTest, NothingIsLeftToLearnWhereTheStudentAgrees) {
  at::manual_seed(1);
  const at::Tensor logits = at::randn({5, 3}, at::kDouble);
  for (const double temperature : {1.0, 3.0})
    EXPECT_LT(of_classes(temperature)
                  .divergence(logits, at::softmax(logits, 1))
                  .abs()
                  .max()
                  .item<double>(),
              1e-12);
  const Distillation labels(make_loss({.kind = "bce"}, 3), false, 2.0);
  EXPECT_LT(labels.divergence(logits, at::sigmoid(logits)).abs().max().item<double>(), 1e-12);
}

TEST(DistillationTest, CertainTeachersAreFinite) {
  const at::Tensor teacher = at::tensor({1.0, 0.0, 0.0}, at::kDouble).unsqueeze(0);
  const at::Tensor logits = at::tensor({-50.0, 50.0, 0.0}, at::kDouble).unsqueeze(0);
  EXPECT_TRUE(of_classes(1).divergence(logits, teacher).isfinite().all().item<bool>());
  const Distillation labels(make_loss({.kind = "bce"}, 3), false, 1.0);
  EXPECT_TRUE(labels.divergence(logits, teacher).isfinite().all().item<bool>());
}

TEST(DistillationTest, MicroBatchesAddUpWhateverTheWeights) {
  at::manual_seed(3);
  const at::Tensor logits = at::randn({6, 3}, at::kDouble);
  const at::Tensor targets =
      distillation_targets(at::tensor({0, 2, 1, 1, 0, 2}, at::kLong),
                           at::softmax(at::randn({6, 3}, at::kDouble), 1),
                           at::tensor({.5, .5, 1.0, 0.0, .5, .25}, at::kDouble))
          .to(at::kDouble);
  const Distillation loss = of_classes(2, 0.1);
  double parts = 0;
  for (int64_t n = 0; n < 6; ++n)
    parts += loss.sum(logits.narrow(0, n, 1), targets.narrow(0, n, 1)).item<double>();
  EXPECT_NEAR(loss.sum(logits, targets).item<double>(), parts, 1e-12);
}

TEST(DistillationTest, ValuesAndGradientsAreThoseOfPyTorch) {
  const testing::TemporaryDirectory directory;
  at::manual_seed(7);
  const at::Tensor logits = at::randn({8, 3}, at::kDouble) * 2;
  const at::Tensor teacher_logits = at::randn({8, 3}, at::kDouble) * 2;
  const at::Tensor classes = at::randint(3, {8}, at::kLong);
  const at::Tensor labels = at::randint(2, {8, 3}, at::kLong).to(at::kDouble);
  const NamedTensors tensors{
      {"logits", logits}, {"teacher", teacher_logits}, {"classes", classes}, {"labels", labels}};
  for (const char* name : {"classes", "labels"})
    write_safetensors(directory / (std::string(name) + ".in.safetensors"), tensors,
                      {{"settings", std::string(R"({"kind": ")") + name +
                                        R"(", "temperature": 3.0, "weight": 0.3})"}});
  BALEEN_RUN_ORACLE("distillation.py", directory.path());
  for (const bool one_class : {true, false}) {
    const std::string name = one_class ? "classes" : "labels";
    const Distillation loss(make_loss({.kind = one_class ? "cross_entropy" : "bce"}, 3), one_class,
                            3.0);
    const at::Tensor teacher =
        one_class ? at::softmax(teacher_logits, 1) : at::sigmoid(teacher_logits);
    const at::Tensor hard = one_class ? at::one_hot(classes, 3).to(at::kDouble) : labels;
    const at::Tensor targets =
        at::cat({hard, teacher, at::full({8, 1}, 0.3, at::kDouble)}, 1);  // in fp64 throughout
    const at::Tensor leaf = logits.clone().set_requires_grad(true);
    const at::Tensor value = loss.sum(leaf, targets);
    value.backward();
    const SafetensorsFile oracle(directory / (name + ".out.safetensors"));
    const double expected = oracle.tensor("value").item<double>();
    EXPECT_NEAR(value.item<double>(), expected, 1e-9 * std::abs(expected)) << name;
    EXPECT_LT((leaf.grad() - oracle.tensor("gradient")).abs().max().item<double>(), 1e-9) << name;
  }
}

TEST(DistillationTest, LossesOverWholeBatchesAreRefused) {
  EXPECT_THROW(Distillation(make_loss({.kind = "soft_f2", .f2_variant = "per_label"}, 3), false, 1),
               Error);
  EXPECT_NO_THROW(Distillation(make_loss({.kind = "bce_soft_f2"}, 3), false, 1));
}

}  // namespace
}  // namespace baleen
