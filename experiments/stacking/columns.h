#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace baleen {

// Shapes: C columns of R rows each, P rows with padding, D inputs, O outputs, A penalties, K
// targets.

/// Rows are worked on in groups of so many.
constexpr int64_t kRowGroup = 32;

/// Rows of a column with its padding.
inline int64_t padded_rows(int64_t rows) { return (rows + kRowGroup - 1) / kRowGroup * kRowGroup; }

/// Columns of a few hundred rows, each padded by zeros to whole groups. A view.
struct Columns {
  double* data = nullptr;
  int64_t count = 0;
  int64_t rows = 0;
  int64_t stride = 0;  ///< from one column to the next; at least padded_rows(rows)

  double* column(int64_t c) const { return data + c * stride; }
  Columns narrow(int64_t first, int64_t columns) const {
    return {column(first), columns, rows, stride};
  }
};

/// The columns in the rows of a contiguous fp64 table [C, P].
Columns columns_of(const at::Tensor& table_CP, int64_t rows);
/// Makes the padding zero.
void clear_padding(const Columns& columns);

/// The columns of rows[0], rows[1], … of a table [N, C], with padding of zeros; `out` says how many
/// rows and columns there are.
void gather_rows(const float* table_NC, const int64_t* rows, const Columns& out);
void gather_rows(const double* table_NC, const int64_t* rows, const Columns& out);

/// out_c = x_c − offset_c, with padding of zeros. @param out may be x
void subtract(const Columns& x, const double* offset_C, const Columns& out);
/// out = Σ_c x_c², row by row.
void sum_squares(const Columns& x, double* out);
/// out_c = x_c · factor, row by row. @param out may be x
void multiply_rows(const Columns& x, const double* factor, const Columns& out);

/// O linear functions of the same D inputs, laid out for the loops below.
class ColumnWeights {
 public:
  ColumnWeights() = default;
  /// @param weights_OD fp64, any strides
  explicit ColumnWeights(const at::Tensor& weights_OD);

  int64_t num_outputs() const { return num_outputs_; }
  const double* tiles() const { return tiles_.data(); }

 private:
  int64_t num_outputs_ = 0;
  std::vector<double> tiles_;  // a few outputs at a time, input by input; zeros fill the last
};

/// out_o = offset_o + Σ_d weight_od · x_d, for O outputs. The padding of `out` is left undefined.
/// @param offset_O null: none
void apply_columns(const ColumnWeights& weights, const double* offset_O, const Columns& x,
                   const Columns& out);
/// out_k = y_k − Σ_d weight_kd · x_d. @param out may be y
void subtract_columns(const ColumnWeights& weights, const Columns& x, const Columns& y_K,
                      const Columns& out);
/// out_o = Σ_d weight_od · x_d².
void apply_to_squares(const ColumnWeights& weights, const Columns& x, const Columns& out);

/// Makes of leverages h_a the weights of squared leave-one-out errors, 1/(1 − t)² with
/// t = of_mean + h_a, and raises most_taken_a to the greatest t.
void weigh_by_freedom(double of_mean, const Columns& leverage_A, double* most_taken_A);
/// The same less 1: what leaving a row out adds to its squared error, t(2 − t)/(1 − t)².
void surplus_by_freedom(double of_mean, const Columns& leverage_A, double* most_taken_A);
/// Raises most_a to the greatest part by which a row's weight differs from that of column
/// `reference`, |w_a − w|/w. @param inverse memory for a column
void raise_changes(const Columns& weight_A, int64_t reference, double* inverse, double* most_A);
/// Adds Σ_r (y_k − Σ_d weight_od · x_d)² · factor_a to squares_o, where o = a·K + k.
void add_squared_errors(const ColumnWeights& weights, const Columns& x, const Columns& y_K,
                        const Columns& factor_A, double* squares_AK);
/// Adds Σ_r a_i · b_j to dots_ij. @param symmetric `b` is `a`
void add_dots(const Columns& a, const Columns& b, bool symmetric, double* dots_AB);
/// Adds Σ_r x_c to sums_c, and Σ_r x_c² to squares_c.
void add_sums(const Columns& x, double* sums_C);
void add_squares(const Columns& x, double* squares_C);

}  // namespace baleen
