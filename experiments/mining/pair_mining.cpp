#include "experiments/mining/pair_mining.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <numeric>
#include <set>
#include <string>

#include "core/base/error.h"
#include "core/base/logging.h"
#include "core/base/seeds.h"
#include "data/parallel_for.h"
#include "data/sampler.h"
#include "experiments/collective.h"
#include "experiments/mining/mining_problem.h"

namespace baleen {
namespace {

/// Rows that are scored at a time, whoever scores them: a product's bits depend on its shape.
constexpr int64_t kRowsPerScoring = 512;
/// Hard negatives score high, and costs are to be small.
constexpr double kHardest = -1.0;

std::string bytes_of(std::span<const int64_t> numbers) {
  return std::string(reinterpret_cast<const char*>(numbers.data()), numbers.size_bytes());
}

std::vector<int64_t> numbers_of(const std::string& bytes) {
  std::vector<int64_t> numbers(bytes.size() / sizeof(int64_t));
  std::memcpy(numbers.data(), bytes.data(), bytes.size());
  return numbers;
}

class Miner {
 public:
  Miner(const MiningImages& images, const PairScorer& scorer, const MiningOptions& options,
        uint64_t seed, int64_t period, Communicator& group)
      : images_(images),
        scorer_(scorer),
        options_(options),
        n_(std::ssize(images.identity)),
        seed_(derive_seed(seed, Stream::kPairs, {static_cast<uint64_t>(period)})),
        group_(group),
        lists_(static_cast<size_t>(options.lists),
               {std::vector<int64_t>(n_, -1), std::vector<int64_t>(n_, -1)}) {}

  std::vector<MinedList> mine() {
    agreed(group_, [&] { check(); });
    mine_negatives();
    mine_positives();
    report();
    return std::move(lists_);
  }

 private:
  bool same_picture(int64_t a, int64_t b) const {
    return a == b || (!images_.picture.empty() && images_.picture[a] == images_.picture[b]);
  }

  void check() const {
    if (!images_.picture.empty() && images_.picture.size() != images_.identity.size()) {
      throw Error(ErrorKind::kInternal, "pictures and identities of different numbers of images");
    }
    if (options_.block < 0 || options_.lists < 1 || !(options_.noise >= 0)) {
      throw Error(ErrorKind::kConfiguration,
                  fmt::format("mining {} lists in blocks of {} with noise {}", options_.lists,
                              options_.block, options_.noise));
    }
    const std::set<int64_t> identities(images_.identity.begin(), images_.identity.end());
    if (identities.size() < 2) {
      throw Error(ErrorKind::kData,
                  fmt::format("{} images of {} individuals have no pairs of different ones", n_,
                              identities.size()));
    }
    std::map<int64_t, int64_t> first_image;
    for (int64_t i = 0; i < n_; ++i) {
      const auto [place, fresh] = first_image.emplace(images_.identity[i], i);
      if (!fresh && !same_picture(i, place->second)) return;
    }
    throw Error(ErrorKind::kData, "no individual has two pictures: there are no pairs of one",
                "take individuals with two images or more");
  }

  /// Images thrown together, in nearly equal blocks.
  std::vector<MiningProblem> make_blocks() const {
    std::vector<int64_t> order(static_cast<size_t>(n_));
    std::iota(order.begin(), order.end(), 0);
    int64_t blocks = 1;
    if (options_.block > 0) {
      CounterRandom random(derive_seed(seed_, Stream::kShuffle, {}));
      shuffle(order, random);
      blocks = std::max<int64_t>(1, (n_ + options_.block / 2) / options_.block);
    }
    std::vector<MiningProblem> problems;
    for (int64_t b = 0; b < blocks; ++b) {
      const PositionRange part = even_part(n_, b, blocks);
      const bool mine = b % group_.size() == group_.rank();
      problems.emplace_back(
          mine ? std::vector<int64_t>(order.begin() + part.begin, order.begin() + part.end)
               : std::vector<int64_t>{},
          /*both_orders=*/true);
    }
    return problems;
  }

  void heed_stop() const {
    if (options_.stop && options_.stop()) throw_interrupted();
  }

  void mine_negatives() {
    std::vector<MiningProblem> problems = agreed(group_, [&] { return make_blocks(); });
    if (options_.block == 0 && group_.size() > 1) {
      score_together(problems.front());
    } else {
      const int64_t rounds = (std::ssize(problems) + group_.size() - 1) / group_.size();
      for (int64_t round = 0; round < rounds; ++round) {
        agreed(group_, [&] {
          heed_stop();
          const int64_t block = round * group_.size() + group_.rank();
          if (block < std::ssize(problems)) score(problems[static_cast<size_t>(block)]);
        });
      }
    }
    agreed(group_, [&] {
      parallel_for(problems.size(), options_.threads, [&](size_t b) {
        forbid_likeness(problems[b]);
        problems[b].add_noise(options_.noise, seed_);
      });
    });
    for (MinedList& list : lists_) {
      const std::vector<int64_t> found = agreed(group_, [&] {
        heed_stop();
        return next_list(problems);
      });
      for (const std::string& part : group_.all_gather(bytes_of(found))) {
        const std::vector<int64_t> pairs = numbers_of(part);
        for (size_t p = 0; p + 1 < pairs.size(); p += 2) list.negative[pairs[p]] = pairs[p + 1];
      }
    }
  }

  /// Position, partner, position, … of this rank's blocks.
  std::vector<int64_t> next_list(std::vector<MiningProblem>& problems) const {
    std::vector<std::vector<int64_t>> partners(problems.size());
    parallel_for(problems.size(), options_.threads,
                 [&](size_t b) { partners[b] = problems[b].next_list(); });
    std::vector<int64_t> found;
    for (size_t b = 0; b < problems.size(); ++b) {
      for (size_t i = 0; i < problems[b].members().size(); ++i) {
        found.push_back(problems[b].members()[i]);
        found.push_back(partners[b][i]);
      }
    }
    return found;
  }

  void score(MiningProblem& problem) const {
    const std::vector<int64_t>& members = problem.members();
    for (int64_t first = 0; first < std::ssize(members); first += kRowsPerScoring) {
      const auto others = std::span(members).subspan(first);
      const auto rows = others.first(std::min(kRowsPerScoring, std::ssize(others)));
      problem.set_costs(first, scorer_(rows, others), kHardest);
    }
  }

  /// All ranks score rows of the one problem that the first solves.
  void score_together(MiningProblem& problem) const {
    std::vector<int64_t> all(static_cast<size_t>(n_));
    std::iota(all.begin(), all.end(), 0);
    const int64_t slab = kRowsPerScoring * group_.size();
    for (int64_t first = 0; first < n_; first += slab) {
      const std::string part = agreed(group_, [&] {
        heed_stop();
        const int64_t mine = first + group_.rank() * kRowsPerScoring;
        if (mine >= n_) return std::string();
        const auto others = std::span<const int64_t>(all).subspan(mine);
        const auto rows = others.first(std::min(kRowsPerScoring, std::ssize(others)));
        const at::Tensor scores = scorer_(rows, others).to(at::kFloat).contiguous();
        return std::string(static_cast<const char*>(scores.const_data_ptr()), scores.nbytes());
      });
      const std::vector<std::string> parts = group_.gather(part, 0);
      on_first_rank(group_, [&] {
        int64_t row = first;
        for (const std::string& bytes : parts) {
          if (row >= n_) break;
          const int64_t columns = n_ - row;
          const auto rows = static_cast<int64_t>(bytes.size() / sizeof(float)) / columns;
          at::Tensor scores = at::empty({rows, columns}, at::kFloat);
          std::memcpy(scores.mutable_data_ptr(), bytes.data(), bytes.size());
          problem.set_costs(row, scores, kHardest);
          row += rows;
        }
      });
    }
  }

  void forbid_likeness(MiningProblem& problem) const {
    std::map<int64_t, std::vector<int64_t>> of_identity, of_picture;
    const std::vector<int64_t>& members = problem.members();
    for (int64_t i = 0; i < std::ssize(members); ++i) {
      of_identity[images_.identity[members[i]]].push_back(i);
      if (!images_.picture.empty()) of_picture[images_.picture[members[i]]].push_back(i);
    }
    for (const auto* groups : {&of_identity, &of_picture}) {
      for (const auto& [number, indices] : *groups)
        for (const int64_t a : indices)
          for (const int64_t b : indices) problem.forbid(a, b);
    }
  }

  void mine_positives() {
    std::map<int64_t, std::vector<int64_t>> images_of;
    for (int64_t i = 0; i < n_; ++i) images_of[images_.identity[i]].push_back(i);
    // Small problems: the first rank's, so that all have the same bits.
    std::vector<int64_t> all;
    on_first_rank(group_, [&] {
      for (const auto& [identity, images] : images_of)
        if (images.size() > 1) mine_positives_of(images);
      for (const MinedList& list : lists_)
        all.insert(all.end(), list.positive.begin(), list.positive.end());
    });
    all = numbers_of(group_.broadcast(bytes_of(all), 0));
    for (size_t list = 0; list < lists_.size(); ++list) {
      const auto begin = all.begin() + static_cast<std::ptrdiff_t>(list) * n_;
      lists_[list].positive.assign(begin, begin + n_);
    }
  }

  void mine_positives_of(const std::vector<int64_t>& images) {
    const auto fresh = [&](size_t list) {
      MiningProblem problem(images, /*both_orders=*/false);
      if (options_.hard_positives) {
        problem.set_costs(0, scorer_(images, images), 1.0);
        problem.add_noise(options_.noise, seed_);
      } else {
        const auto count = std::ssize(images);
        problem.set_costs(0, at::zeros({count, count}, at::kFloat), 1.0);
        problem.add_noise(1.0, derive_seed(seed_, Stream::kPairs, {list}));
      }
      for (int64_t a = 0; a < std::ssize(images); ++a)
        for (int64_t b = 0; b < std::ssize(images); ++b)
          if (same_picture(images[a], images[b])) problem.forbid(a, b);
      return problem;
    };
    MiningProblem problem = fresh(0);
    size_t most = 0;
    for (size_t list = 0; list < lists_.size(); ++list) {
      std::vector<int64_t> partners = problem.next_list();
      const auto number = [&] {
        return partners.size() -
               static_cast<size_t>(std::count(partners.begin(), partners.end(), int64_t{-1}));
      };
      if (list == 0) most = number();
      if (number() < most) {
        // All others were had: begin again.
        problem = fresh(list);
        partners = problem.next_list();
      }
      for (size_t i = 0; i < images.size(); ++i) lists_[list].positive[images[i]] = partners[i];
    }
  }

  void report() const {
    for (size_t list = 0; list < lists_.size(); ++list) {
      const auto& negative = lists_[list].negative;
      const auto without = std::count(negative.begin(), negative.end(), int64_t{-1});
      if (without > 0 && group_.rank() == 0) {
        log_warning(
            "list {} of mined pairs: {} of {} images found no partner of another individual that "
            "they had not had",
            list, without, n_);
      }
    }
  }

  const MiningImages& images_;
  const PairScorer& scorer_;
  const MiningOptions options_;
  const int64_t n_;
  const uint64_t seed_;
  Communicator& group_;
  std::vector<MinedList> lists_;
};

}  // namespace

std::vector<MinedList> mine_pairs(const MiningImages& images, const PairScorer& scorer,
                                  const MiningOptions& options, uint64_t seed, int64_t period,
                                  Communicator& group) {
  return Miner(images, scorer, options, seed, period, group).mine();
}

std::vector<ImagePair> pairs_of(const MinedList& list, std::span<const int64_t> rows) {
  std::vector<ImagePair> pairs;
  for (size_t i = 0; i < rows.size(); ++i) {
    if (list.positive[i] >= 0) pairs.push_back({rows[i], rows[list.positive[i]], true});
    if (list.negative[i] >= 0) pairs.push_back({rows[i], rows[list.negative[i]], false});
  }
  return pairs;
}

double mining_noise(int64_t epoch) {
  if (epoch <= 10) return 1000.0;
  if (epoch <= 60) return std::pow(100.0, 1.0 - 0.1 * static_cast<double>((epoch - 11) / 5));
  if (epoch <= 150) return 1.0;
  if (epoch <= 200) return 0.5;
  if (epoch <= 250) return 0.25;
  if (epoch <= 300) return 1.0;
  if (epoch <= 350) return 0.5;
  return 0.25;
}

}  // namespace baleen
