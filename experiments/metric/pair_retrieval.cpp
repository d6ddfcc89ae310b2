#include "experiments/metric/pair_retrieval.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "core/base/error.h"
#include "core/nn/siamese_network.h"
#include "core/weights/state.h"
#include "experiments/collective.h"

namespace baleen {
namespace {

constexpr int64_t kQueriesPerBlock = 64;

std::string bytes_of(const std::vector<RetrievalPlace>& places) {
  static_assert(std::is_trivially_copyable_v<RetrievalPlace>);
  return std::string(reinterpret_cast<const char*>(places.data()),
                     places.size() * sizeof(RetrievalPlace));
}

}  // namespace

RetrievalScores retrieval_by_pairs(const ScoreRows& score, std::span<const int64_t> labels_N,
                                   Communicator* group, const std::function<bool()>& stop) {
  const int64_t n = std::ssize(labels_N);
  const int64_t rank = group ? group->rank() : 0, num_ranks = group ? group->size() : 1;
  const int64_t num_blocks = (n + kQueriesPerBlock - 1) / kQueriesPerBlock;
  const auto own_part = [&] {
    std::vector<RetrievalPlace> places;
    for (int64_t block = rank; block < num_blocks; block += num_ranks) {
      if (stop && stop()) throw_interrupted();
      const int64_t first = block * kQueriesPerBlock;
      const at::Tensor scores = score(first, std::min(kQueriesPerBlock, n - first));
      for (const RetrievalPlace& place : retrieval_places(scores, first, labels_N))
        places.push_back(place);
    }
    return places;
  };
  if (!group) return summarise(own_part());
  const std::vector<RetrievalPlace> own = agreed(*group, own_part);
  std::vector<RetrievalPlace> all(labels_N.size());
  const std::vector<std::string> parts = group->all_gather(bytes_of(own));
  for (int64_t r = 0; r < num_ranks; ++r) {
    const char* from = parts[static_cast<size_t>(r)].data();
    for (int64_t block = r; block < num_blocks; block += num_ranks) {
      const int64_t first = block * kQueriesPerBlock;
      const size_t size =
          static_cast<size_t>(std::min(kQueriesPerBlock, n - first)) * sizeof(RetrievalPlace);
      std::memcpy(all.data() + first, from, size);
      from += size;
    }
  }
  return summarise(all);
}

std::map<std::string, double> retrieval_metrics(const RetrievalScores& scores) {
  const bool judged = scores.num_queries > 0;
  const double map_at_5 = judged ? scores.map_at_5 : 0.0;
  return {{"recall_at_1", judged ? scores.recall_at_1 : 0.0},
          {"recall_at_2", judged ? scores.recall_at_2 : 0.0},
          {"recall_at_4", judged ? scores.recall_at_4 : 0.0},
          {"recall_at_8", judged ? scores.recall_at_8 : 0.0},
          {"map_at_5", map_at_5},
          {"loss", 1.0 - map_at_5}};
}

std::shared_ptr<SymmetricHead> read_pair_head(const SafetensorsFile& weights,
                                              const std::string& name) {
  const std::string prefix = std::string(kPairHeadName) + ".";
  NamedTensors own;
  for (const auto& [key, tensor] : weights.tensors())
    if (key.starts_with(prefix)) own.emplace_back(key.substr(prefix.size()), tensor);
  if (own.empty()) return nullptr;
  const std::string width_of = prefix + "weighted.weight";
  if (!weights.contains(width_of) || weights.tensor(width_of).dim() != 2)
    throw Error(ErrorKind::kData, fmt::format("{} has only part of a head for pairs", name),
                "give weights that `baleen export` wrote");
  auto head = std::make_shared<SymmetricHead>(weights.tensor(width_of).size(1));
  load_state(*head, own, name);
  head->eval();
  return head;
}

}  // namespace baleen
