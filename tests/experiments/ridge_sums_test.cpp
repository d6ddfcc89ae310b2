#include "experiments/stacking/ridge_sums.h"

#include <ATen/CPUGeneratorImpl.h>

#include <cmath>

#include "tests/experiments/oracle.h"

namespace baleen {
namespace {

using testing::worst_difference;

const std::vector<double> kGrid = {0.01, 1, 100};
// Rows, inputs, targets.
const std::vector<std::tuple<int64_t, int64_t, int64_t>> kShapes = {
    {12, 1, 1}, {70, 3, 1}, {95, 4, 4}, {130, 5, 2}, {300, 17, 17}, {64, 11, 1}};

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

RidgeSums sums_of(const at::Tensor& x_ND, const at::Tensor& y_NK, const at::Tensor& shift_D) {
  RidgeSums sums(x_ND.size(1), y_NK.size(1));
  in_pieces(x_ND, y_NK, shift_D,
            [&](const Columns& x, const Columns& y, int64_t) { sums.add(x, y); });
  return sums;
}

/// A solver that has seen all rows as often as it wants to.
RidgeSolver chooser(const RidgeSums& sums, const at::Tensor& x_ND, const at::Tensor& y_NK,
                    const at::Tensor& shift_D, const std::vector<double>& grid, bool per_target) {
  RidgeSolver solver(sums, shift_D, at::zeros({y_NK.size(1)}, at::kDouble), grid, per_target, 2);
  RidgeScratch scratch;
  in_pieces(x_ND, y_NK, shift_D, [&](const Columns& x, const Columns& y, int64_t fold) {
    solver.estimate_errors(x, y, fold, scratch);
  });
  solver.narrow();
  if (!solver.is_open()) return solver;
  in_pieces(x_ND, y_NK, shift_D, [&](const Columns& x, const Columns& y, int64_t fold) {
    solver.add_errors(x, y, fold, scratch);
  });
  return solver;
}

TEST(RidgeSums, InPiecesOfAnyLengthGiveTheProblemOfAllRows) {
  double worst_fit = 0;
  for (const auto& [num_rows, num_inputs, num_targets] : kShapes) {
    const at::Tensor x_ND = uniform({num_rows, num_inputs}, 1);
    const at::Tensor y_NK = (uniform({num_rows, num_targets}, 2) < .4).to(at::kDouble);
    const at::Tensor shift_D = x_ND.mean(0) + .01;
    const RidgeSums sums = sums_of(x_ND, y_NK, shift_D);
    EXPECT_EQ(sums.num_rows, num_rows);
    EXPECT_TRUE(at::equal(sums.gram_DD(), sums.gram_DD().t()));
    const RidgeProblem whole(x_ND, y_NK);
    for (const bool per_target : {false, true}) {
      const RidgeSolver solver = chooser(sums, x_ND, y_NK, shift_D, kGrid, per_target);
      const std::vector<double> alphas_K = solver.choose_alphas();
      EXPECT_EQ(alphas_K, whole.choose_alphas(kGrid, per_target));
      const RidgeModel model = solver.fit(alphas_K).value(), expected = whole.fit(alphas_K);
      worst_fit = std::max({worst_fit, worst_difference(model.weights_DK, expected.weights_DK),
                            worst_difference(model.intercept_K, expected.intercept_K)});
    }
  }
  std::printf("worst difference of a fit to the problem of all rows: %.2e\n", worst_fit);
  EXPECT_LE(worst_fit, 1e-10);
}

TEST(RidgeSums, PenaltiesTooNearForTheirBoundsAreComparedExactly) {
  const std::vector<double> grid{1 + 2e-14, 1 + 1e-14, 1};  // as the solver orders them
  double worst = 0;
  for (const auto& [num_rows, num_inputs, num_targets] : kShapes) {
    const at::Tensor x_ND = uniform({num_rows, num_inputs}, 1);
    const at::Tensor y_NK = (uniform({num_rows, num_targets}, 2) < .4).to(at::kDouble);
    const at::Tensor shift_D = x_ND.mean(0) + .01;
    const RidgeSolver solver =
        chooser(sums_of(x_ND, y_NK, shift_D), x_ND, y_NK, shift_D, grid, /*per_target=*/true);
    ASSERT_TRUE(solver.is_open());
    const RidgeProblem whole(x_ND, y_NK);
    const at::Tensor squares_AK = solver.errors()[0].sum(0);
    ASSERT_EQ(squares_AK.size(0), 3);
    for (size_t a = 0; a < grid.size(); ++a) {
      worst =
          std::max(worst, worst_difference(squares_AK[static_cast<int64_t>(a)] / double(num_rows),
                                           whole.leave_one_out_mse_K(grid[a])));
    }
  }
  std::printf("worst difference of a leave-one-out error: %.2e\n", worst);
  EXPECT_LE(worst, 1e-12);
}

// What bounds could get wrong: inputs that are nearly one, errors that are nearly none, few rows,
// penalties close to each other, targets that never vary.
TEST(RidgeSums, TheChoiceIsThatOfAllRowsWhateverTheData) {
  std::vector<double> fine;
  for (int i = -24; i <= 24; ++i) fine.push_back(std::pow(10.0, i / 8.0));
  int64_t num_problems = 0, num_open = 0;
  for (uint64_t seed = 0; seed < 40; ++seed) {
    const int64_t num_rows = seed % 4 == 0 ? 40 : 700,
                  num_inputs = 1 + static_cast<int64_t>(seed) % 13;
    const double nearness = std::pow(10.0, -static_cast<double>(seed % 7));
    const double noise = std::pow(10.0, -static_cast<double>(seed % 5));
    const at::Tensor x_ND =
        uniform({num_rows, 1}, 3 * seed) + nearness * uniform({num_rows, num_inputs}, 3 * seed + 1);
    const at::Tensor spread_NK = noise * (uniform({num_rows, 3}, 3 * seed + 2) - .5);
    at::Tensor y_NK = x_ND.mean(1, true) + spread_NK;
    if (seed % 2 == 0) y_NK = (y_NK > y_NK.mean(0)).to(at::kDouble);
    if (seed % 3 == 0) y_NK.select(1, 2).fill_(1);
    const at::Tensor shift_D = x_ND.mean(0) + .01;
    const RidgeSums sums = sums_of(x_ND, y_NK, shift_D);
    const RidgeProblem whole(x_ND, y_NK);
    for (const bool per_target : {false, true}) {
      for (const std::vector<double>& grid : {kGrid, fine}) {
        const RidgeSolver solver = chooser(sums, x_ND, y_NK, shift_D, grid, per_target);
        const std::vector<double> chosen_K = solver.choose_alphas();
        const std::vector<double> expected_K = whole.choose_alphas(grid, per_target);
        for (size_t k = 0; k < chosen_K.size(); ++k) {
          if (chosen_K[k] == expected_K[k]) continue;
          // Errors that are equal to the rounding of both sides may be ordered either way.
          const auto error = [&](double alpha) {
            const at::Tensor mse_K = whole.leave_one_out_mse_K(alpha);
            return (per_target ? mse_K[static_cast<int64_t>(k)] : mse_K.sum()).item<double>();
          };
          EXPECT_NEAR(error(chosen_K[k]), error(expected_K[k]),
                      1e-13 * error(expected_K[k]) + 1e-15)
              << seed << " " << k << ": " << chosen_K[k] << " " << expected_K[k];
        }
        ++num_problems;
        num_open += solver.is_open();
      }
    }
  }
  std::printf("%ld of %ld problems needed exact errors\n", num_open, num_problems);
  EXPECT_GT(num_open, 10);
  EXPECT_LT(num_open, num_problems * 3 / 4);
}

// A penalty of 0 on as many inputs as rows: each row determines its own prediction.
TEST(RidgeSums, ARowThatDeterminesItselfForbidsThePenalty) {
  const at::Tensor x_ND = at::tensor({0.0, 1.0, 1.0, 0.0, 0.5, 0.1}, at::kDouble).reshape({3, 2});
  const at::Tensor y_NK = at::tensor({0.0, 1.0, 1.0}, at::kDouble).unsqueeze(1);
  const at::Tensor shift_D = at::zeros({2}, at::kDouble);
  const std::vector<double> grid{0, 1};
  const RidgeSolver solver =
      chooser(sums_of(x_ND, y_NK, shift_D), x_ND, y_NK, shift_D, grid, /*per_target=*/true);
  EXPECT_EQ(solver.choose_alphas(), std::vector<double>{1});
}

}  // namespace
}  // namespace baleen
