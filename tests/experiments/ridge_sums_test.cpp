#include "experiments/stacking/ridge_sums.h"

#include <ATen/CPUGeneratorImpl.h>

#include "tests/experiments/oracle.h"

namespace baleen {
namespace {

using testing::worst_difference;

const std::vector<double> kGrid = {0.01, 1, 100};

at::Tensor uniform(at::IntArrayRef shape, uint64_t seed) {
  auto generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  return at::rand(shape, generator, at::kDouble);
}

/// Rows [R, C] from `first` as padded columns [C, P], less `shift_C`.
at::Tensor padded(const at::Tensor& rows_NC, int64_t first, int64_t rows,
                  const at::Tensor& shift_C) {
  at::Tensor table_CP = at::zeros({rows_NC.size(1), padded_rows(rows)}, at::kDouble);
  table_CP.narrow(1, 0, rows).copy_((rows_NC.narrow(0, first, rows) - shift_C).t());
  return table_CP;
}

/// Calls action(x, y, fold) for pieces of the rows, of lengths that end within and at groups.
template <class Action>
void in_pieces(const at::Tensor& x_ND, const at::Tensor& y_NK, const at::Tensor& shift_D,
               const Action& action) {
  const at::Tensor no_shift_K = at::zeros({y_NK.size(1)}, at::kDouble);
  const int64_t lengths[] = {1, kRowGroup, kRowGroup + 1, 2 * kRowGroup - 1, 7};
  int64_t first = 0;
  for (int64_t piece = 0; first < x_ND.size(0); ++piece) {
    const int64_t rows = std::min(lengths[piece % 5], x_ND.size(0) - first);
    const at::Tensor x_DP = padded(x_ND, first, rows, shift_D);
    const at::Tensor y_KP = padded(y_NK, first, rows, no_shift_K);
    action(columns_of(x_DP, rows), columns_of(y_KP, rows), piece % 2);
    first += rows;
  }
}

TEST(RidgeSums, InPiecesOfAnyLengthGiveTheProblemOfAllRows) {
  double worst_fit = 0, worst_error = 0;
  for (const auto& [num_rows, num_inputs, num_targets] :
       std::vector<std::tuple<int64_t, int64_t, int64_t>>{
           {12, 1, 1}, {70, 3, 1}, {95, 4, 4}, {130, 5, 2}, {300, 17, 17}, {64, 11, 1}}) {
    const at::Tensor x_ND = uniform({num_rows, num_inputs}, 1);
    const at::Tensor y_NK = (uniform({num_rows, num_targets}, 2) < .4).to(at::kDouble);
    const at::Tensor shift_D = x_ND.mean(0) + .01;
    RidgeSums sums(num_inputs, num_targets);
    in_pieces(x_ND, y_NK, shift_D,
              [&](const Columns& x, const Columns& y, int64_t) { sums.add(x, y); });
    EXPECT_EQ(sums.num_rows, num_rows);
    EXPECT_TRUE(at::equal(sums.gram_DD(), sums.gram_DD().t()));
    RidgeSolver solver(sums, shift_D, at::zeros({num_targets}, at::kDouble), kGrid, 2);
    RidgeScratch scratch;
    in_pieces(x_ND, y_NK, shift_D, [&](const Columns& x, const Columns& y, int64_t fold) {
      solver.add_errors(x, y, fold, scratch);
    });

    const RidgeProblem whole(x_ND, y_NK);
    const at::Tensor squares_AK = solver.errors()[0].sum(0);
    for (size_t a = 0; a < kGrid.size(); ++a) {  // the solver's go from the largest
      const at::Tensor expected_K = whole.leave_one_out_mse_K(kGrid[kGrid.size() - 1 - a]);
      worst_error = std::max(
          worst_error,
          worst_difference(squares_AK[static_cast<int64_t>(a)] / double(num_rows), expected_K));
    }
    for (const bool per_target : {false, true}) {
      const std::vector<double> alphas_K = solver.choose_alphas(per_target);
      EXPECT_EQ(alphas_K, whole.choose_alphas(kGrid, per_target));
      const RidgeModel model = solver.fit(alphas_K).value(), expected = whole.fit(alphas_K);
      worst_fit = std::max({worst_fit, worst_difference(model.weights_DK, expected.weights_DK),
                            worst_difference(model.intercept_K, expected.intercept_K)});
    }
  }
  std::printf("worst difference to the problem of all rows: fit %.2e, leave-one-out %.2e\n",
              worst_fit, worst_error);
  EXPECT_LE(worst_fit, 1e-10);
  EXPECT_LE(worst_error, 1e-12);
}

// A penalty of 0 on as many inputs as rows: each row determines its own prediction.
TEST(RidgeSums, ARowThatDeterminesItselfForbidsThePenalty) {
  const at::Tensor x_ND = at::tensor({0.0, 1.0, 1.0, 0.0, 0.5, 0.1}, at::kDouble).reshape({3, 2});
  const at::Tensor y_NK = at::tensor({0.0, 1.0, 1.0}, at::kDouble).unsqueeze(1);
  const at::Tensor shift_D = at::zeros({2}, at::kDouble);
  RidgeSums sums(2, 1);
  in_pieces(x_ND, y_NK, shift_D,
            [&](const Columns& x, const Columns& y, int64_t) { sums.add(x, y); });
  RidgeSolver solver(sums, shift_D, at::zeros({1}, at::kDouble), std::vector<double>{0, 1}, 2);
  RidgeScratch scratch;
  in_pieces(x_ND, y_NK, shift_D, [&](const Columns& x, const Columns& y, int64_t fold) {
    solver.add_errors(x, y, fold, scratch);
  });
  EXPECT_EQ(solver.choose_alphas(true), std::vector<double>{1});
}

}  // namespace
}  // namespace baleen
