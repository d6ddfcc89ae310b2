// How fast pairs are assigned, galleries searched and pairs mined.
//
//   matching_bench lap COSTS N [BLOCKS]          float32 matrix in a raw file; BLOCKS: diagonal
//   blocks matching_bench gallery GALLERY G QUERIES Q D K THREADS OUT   float32 rows in raw files
//   mpirun -n 2 matching_bench mining WHALE_CSV [D] [BLOCK]      the contest's list, random
//   features
//
// The first two print one JSON object; compare_matching.py runs them beside other programs.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <sys/resource.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <set>

#include "core/base/stopwatch.h"
#include "core/matching/assignment.h"
#include "core/matching/identity_scores.h"
#include "core/matching/top_k.h"
#include "data/pack/csv.h"
#include "experiments/mining/pair_mining.h"
#include "tests/benchmarks/benchmark_main.h"

namespace baleen {
namespace {

struct Arguments {
  std::vector<std::string> words;
  int64_t threads = 1;
  int64_t number(size_t i, int64_t otherwise = 0) const {
    return i < words.size() ? std::atoll(words[i].c_str()) : otherwise;
  }
};

double peak_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return 1024.0 * static_cast<double>(usage.ru_maxrss);
}

at::Tensor read_floats(const std::string& file, int64_t rows, int64_t columns) {
  at::Tensor values = at::empty({rows, columns}, at::kFloat);
  std::ifstream stream(file, std::ios::binary);
  stream.read(static_cast<char*>(values.mutable_data_ptr()),
              static_cast<std::streamsize>(values.nbytes()));
  if (!stream) throw Error(ErrorKind::kData, fmt::format("{} is too short", file));
  return values;
}

void measure_lap(const Arguments& arguments) {
  const int64_t n = arguments.number(2), blocks = arguments.number(3, 1);
  const double before = peak_bytes();
  const at::Tensor costs = read_floats(arguments.words.at(1), n, n);
  double slowest = 0.0, total = 0.0, cost = 0.0;
  for (int64_t b = 0; b < blocks; ++b) {
    const int64_t begin = b * n / blocks, end = (b + 1) * n / blocks;
    const CostView<float> view{costs.const_data_ptr<float>() + begin * n + begin, end - begin, n};
    const Stopwatch watch;
    cost += solve_assignment(view).total_cost;
    slowest = std::max(slowest, watch.elapsed_s());
    total += watch.elapsed_s();
  }
  std::printf("{\"seconds\": %.4f, \"slowest_block\": %.4f, \"cost\": %.12g, \"memory\": %.3f}\n",
              total, slowest, cost,
              (peak_bytes() - before) / (4.0 * static_cast<double>(n) * static_cast<double>(n)));
}

void measure_gallery(const Arguments& arguments) {
  const int64_t g = arguments.number(2), q = arguments.number(4), d = arguments.number(5);
  at::set_num_threads(static_cast<int>(arguments.number(7)));
  const at::Tensor gallery = read_floats(arguments.words.at(1), g, d);
  const at::Tensor queries = read_floats(arguments.words.at(3), q, d);
  TopKSearch(queries.narrow(0, 0, 8), 1).add(gallery, 0);  // threads and buffers are there
  const Stopwatch watch;
  TopKSearch search(queries, arguments.number(6));
  search.add(gallery, 0);
  const TopK found = search.result();
  const double seconds = watch.elapsed_s();
  std::ofstream out(arguments.words.at(8), std::ios::binary);
  out.write(static_cast<const char*>(found.rows_QK.const_data_ptr()),
            static_cast<std::streamsize>(found.rows_QK.nbytes()));
  std::printf("{\"seconds\": %.4f}\n", seconds);
}

/// Images of known individuals with two or more, as the contest lists them.
MiningImages whales(const std::string& file) {
  const CsvTable table = CsvTable::read(file);
  std::map<std::string, int64_t> count;
  const size_t id = table.column("Id");
  for (size_t row = 0; row < table.num_rows(); ++row) ++count[table.at(row, id)];
  count.erase("new_whale");
  MiningImages images;
  std::map<std::string, int64_t> number;
  for (size_t row = 0; row < table.num_rows(); ++row) {
    const auto found = count.find(table.at(row, id));
    if (found == count.end() || found->second < 2) continue;
    images.identity.push_back(number.emplace(found->first, std::ssize(number)).first->second);
  }
  return images;
}

void check(const MiningImages& images, const std::vector<MinedList>& lists) {
  for (const MinedList& list : lists) {
    std::set<int64_t> negatives, positives;
    for (size_t i = 0; i < images.identity.size(); ++i) {
      const int64_t other = list.negative[i], same = list.positive[i];
      const bool fine = other >= 0 && same >= 0 && same != static_cast<int64_t>(i) &&
                        images.identity[other] != images.identity[i] &&
                        images.identity[same] == images.identity[i];
      if (!fine || !negatives.insert(other).second || !positives.insert(same).second)
        throw Error(ErrorKind::kInternal, fmt::format("image {} is badly paired", i));
    }
  }
}

void measure_mining(const Arguments& arguments, MpiEnvironment& mpi) {
  const MiningImages images = whales(arguments.words.at(1));
  const int64_t width = arguments.number(2, 512);
  const at::Tensor features =
      unit_rows(at::randn({std::ssize(images.identity), width}, at::detail::createCPUGenerator(1)));
  const PairScorer scorer = [&](std::span<const int64_t> a, std::span<const int64_t> b) {
    const auto take = [&](std::span<const int64_t> rows) {
      return features.index_select(0, at::tensor(std::vector<int64_t>(rows.begin(), rows.end())));
    };
    return at::mm(take(a), take(b).t()).add_(1).mul_(0.5);
  };
  for (const int64_t lists : {1, 4}) {
    MiningOptions options;
    options.block = arguments.number(3, 0);
    options.lists = lists;
    const auto world = mpi.world();
    world->barrier();
    const Stopwatch watch;
    const auto mined = mine_pairs(images, scorer, options, 1, 0, *world);
    world->barrier();
    const double seconds = watch.elapsed_s();
    check(images, mined);
    if (mpi.rank() == 0) {
      std::printf("%zu images, %s, %d ranks, %lld lists: %.2f s\n", images.identity.size(),
                  options.block ? fmt::format("blocks of {}", options.block).c_str() : "exact",
                  mpi.size(), static_cast<long long>(lists), seconds);
    }
  }
}

void measure(const Arguments& arguments, MpiEnvironment& mpi) {
  const std::string task = arguments.words.empty() ? "" : arguments.words.front();
  if (task == "lap") return measure_lap(arguments);
  if (task == "gallery") return measure_gallery(arguments);
  if (task == "mining") return measure_mining(arguments, mpi);
  throw Error(ErrorKind::kUsage, "lap, gallery or mining; the source says what follows");
}

}  // namespace
}  // namespace baleen

int main(int argc, char** argv) {
  return baleen::benchmark_main(
      argc, argv,
      [](int count, char** words) {
        return baleen::Arguments{{words + 1, words + count}};
      },
      baleen::measure);
}
