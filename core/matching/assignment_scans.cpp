#include "core/matching/assignment_scans.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "core/base/lanes.h"

namespace baleen::assignment {
namespace {

using lanes::broadcast, lanes::Doubles, lanes::store;

constexpr int64_t kLanes = lanes::kLanesOf<double>;
constexpr double kInfinity = std::numeric_limits<double>::infinity();
typedef int64_t Longs __attribute__((vector_size(64)));
typedef float EightFloats __attribute__((vector_size(32)));

BALEEN_INLINE Doubles load(const double* from) { return lanes::load(from); }
BALEEN_INLINE Doubles load(const float* from) {
  EightFloats values;
  std::memcpy(&values, from, sizeof values);
  return __builtin_convertvector(values, Doubles);
}
BALEEN_INLINE Longs load(const int64_t* from) {
  Longs values;
  std::memcpy(&values, from, sizeof values);
  return values;
}
BALEEN_INLINE Doubles smaller(const Doubles& a, const Doubles& b) { return a < b ? a : b; }
BALEEN_INLINE double least_lane(const Doubles& values) {
  double least = values[0];
  for (int64_t lane = 1; lane < kLanes; ++lane) least = values[lane] < least ? values[lane] : least;
  return least;
}

template <class Cost>
BALEEN_INLINE bool take_minima(const Cost* costs, int64_t n, double* minima) {
  Longs fine = Longs{} - 1;
  int64_t j = 0;
  for (; j + kLanes <= n; j += kLanes) {
    const Doubles x = load(costs + j);
    fine &= x > -kInfinity;
    store(smaller(x, load(minima + j)), minima + j);
  }
  bool all_fine = true;
  for (int64_t lane = 0; lane < kLanes; ++lane) all_fine &= fine[lane] != 0;
  for (; j < n; ++j) {
    const double x = costs[j];
    all_fine &= x > -kInfinity;
    minima[j] = x < minima[j] ? x : minima[j];
  }
  return all_fine;
}

BALEEN_INLINE void offer(TwoMinima& minima, double value, int64_t column) {
  if (value < minima.least) {
    minima.second = minima.least;
    minima.least = value;
    minima.column = column;
  } else if (value < minima.second) {
    minima.second = value;
  }
}

template <class Cost>
BALEEN_INLINE TwoMinima find_two_minima(const Cost* costs, const double* v, int64_t n) {
  Doubles least = broadcast(kInfinity), second = least;
  Longs where = Longs{} - 1, index = {0, 1, 2, 3, 4, 5, 6, 7};
  int64_t j = 0;
  for (; j + kLanes <= n; j += kLanes) {
    const Doubles x = load(costs + j) - load(v + j);
    const Longs less = x < least;
    second = smaller(less ? least : x, second);
    least = less ? x : least;
    where = less ? index : where;
    index += kLanes;
  }
  TwoMinima found{kInfinity, kInfinity, -1};
  for (int64_t lane = 0; lane < kLanes; ++lane) offer(found, least[lane], where[lane]);
  for (int64_t lane = 0; lane < kLanes; ++lane)
    found.second = second[lane] < found.second ? second[lane] : found.second;
  for (; j < n; ++j) offer(found, costs[j] - v[j], j);
  return found;
}

template <class Cost>
BALEEN_INLINE double least_of_group(const Cost* costs, const double* v, int64_t columns) {
  Doubles least = broadcast(kInfinity);
  int64_t j = 0;
  for (; j + kLanes <= columns; j += kLanes) least = smaller(load(costs + j) - load(v + j), least);
  double smallest = least_lane(least);
  for (; j < columns; ++j) smallest = std::min<double>(smallest, costs[j] - v[j]);
  return smallest;
}

template <class Cost>
BALEEN_INLINE void find_group_minima(const Cost* costs, const double* v, int64_t n,
                                     double* groups) {
  int64_t j = 0;
  for (; j + kGroupColumns <= n; j += kGroupColumns)
    *groups++ = least_of_group(costs + j, v + j, kGroupColumns);
  if (j < n) *groups = least_of_group(costs + j, v + j, n - j);
}

template <class Cost>
BALEEN_INLINE bool find_below(const Cost* costs, const double* v, int64_t n, double bound) {
  constexpr int64_t kColumnsPerTest = 512;
  for (int64_t j = 0; j < n; j += kColumnsPerTest) {
    if (least_of_group(costs + j, v + j, std::min(kColumnsPerTest, n - j)) < bound) return true;
  }
  return false;
}

template <class Cost>
BALEEN_INLINE NearestColumn relax_columns(const Cost* costs, const double* v, int64_t n,
                                          double offset, int64_t row, const DensePath& path) {
  const Longs via = Longs{} + row;
  Doubles least = broadcast(kInfinity);
  Longs where = Longs{} - 1, index = {0, 1, 2, 3, 4, 5, 6, 7};
  int64_t j = 0;
  for (; j + kLanes <= n; j += kLanes) {
    const Doubles closed = load(path.closed + j);
    const Doubles before = load(path.distance + j);
    const Doubles x = (load(costs + j) - load(v + j)) + offset + closed;
    const Longs less = x < before;
    const Doubles now = less ? x : before;
    store(now, path.distance + j);
    store(less ? via : load(path.from + j), path.from + j);
    const Doubles key = now + closed;
    const Longs nearer = key < least;
    least = nearer ? key : least;
    where = nearer ? index : where;
    index += kLanes;
  }
  NearestColumn nearest{kInfinity, -1};
  const auto take = [&](double distance, int64_t column) {
    if (distance < nearest.distance) nearest = {distance, column};
  };
  for (int64_t lane = 0; lane < kLanes; ++lane) take(least[lane], where[lane]);
  for (; j < n; ++j) {
    const double x = (costs[j] - v[j]) + offset + path.closed[j];
    if (x < path.distance[j]) {
      path.distance[j] = x;
      path.from[j] = row;
    }
    take(path.distance[j] + path.closed[j], j);
  }
  return nearest;
}

}  // namespace

#define BALEEN_FOR_EACH_COST(Cost)                                                               \
  BALEEN_EACH_INSTRUCTION_SET bool take_column_minima(const Cost* costs, int64_t n,              \
                                                      double* minima) {                          \
    return take_minima(costs, n, minima);                                                        \
  }                                                                                              \
  BALEEN_EACH_INSTRUCTION_SET TwoMinima two_minima(const Cost* costs, const double* v,           \
                                                   int64_t n) {                                  \
    return find_two_minima(costs, v, n);                                                         \
  }                                                                                              \
  BALEEN_EACH_INSTRUCTION_SET void group_minima(const Cost* costs, const double* v, int64_t n,   \
                                                double* groups) {                                \
    find_group_minima(costs, v, n, groups);                                                      \
  }                                                                                              \
  BALEEN_EACH_INSTRUCTION_SET bool any_below(const Cost* costs, const double* v, int64_t n,      \
                                             double bound) {                                     \
    return find_below(costs, v, n, bound);                                                       \
  }                                                                                              \
  BALEEN_EACH_INSTRUCTION_SET NearestColumn relax(const Cost* costs, const double* v, int64_t n, \
                                                  double offset, int64_t row,                    \
                                                  const DensePath& path) {                       \
    return relax_columns(costs, v, n, offset, row, path);                                        \
  }
BALEEN_FOR_EACH_COST(float)
BALEEN_FOR_EACH_COST(double)
#undef BALEEN_FOR_EACH_COST

}  // namespace baleen::assignment
