#include "experiments/gallery/nearest_images.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <cmath>
#include <cstring>

#include "data/pack/csv.h"
#include "experiments/gallery/match_scores.h"

namespace baleen {
namespace {

/// All models' unit features side by side, scaled so that inner products are mean cosines.
at::Tensor side_by_side(const std::vector<at::Tensor>& models) {
  return at::cat(models, 1).div_(std::sqrt(static_cast<double>(models.size()))).contiguous();
}

std::string bytes_of(const at::Tensor& values) {
  const at::Tensor whole = values.contiguous();
  return {static_cast<const char*>(whole.const_data_ptr()), whole.nbytes()};
}

at::Tensor tensor_of(const std::string& bytes, at::IntArrayRef shape, at::ScalarType dtype) {
  at::Tensor values = at::empty(shape, dtype);
  std::memcpy(values.mutable_data_ptr(), bytes.data(), bytes.size());
  return values;
}

/// Lists without each query's own image, cut to the count.
TopK without_own(const TopK& found, const std::vector<int64_t>& own_Q, int64_t count) {
  const int64_t num_queries = found.rows_QK.size(0);
  TopK kept{at::full({num_queries, count}, -INFINITY, at::kFloat),
            at::full({num_queries, count}, -1, at::kLong)};
  const auto from = found.rows_QK.accessor<int64_t, 2>();
  const auto scores = found.scores_QK.accessor<float, 2>();
  auto to = kept.rows_QK.accessor<int64_t, 2>();
  auto kept_scores = kept.scores_QK.accessor<float, 2>();
  for (int64_t q = 0; q < num_queries; ++q) {
    int64_t place = 0;
    for (int64_t k = 0; k < from.size(1) && place < count; ++k) {
      if (from[q][k] < 0 || from[q][k] == own_Q[q]) continue;
      to[q][place] = from[q][k];
      kept_scores[q][place++] = scores[q][k];
    }
  }
  return kept;
}

}  // namespace

TopK nearest_images(const std::vector<MatchModel>& models, int64_t count, Communicator& group) {
  std::vector<at::Tensor> gallery, queries;
  for (const Sides& sides : sides_of(models)) {
    gallery.push_back(sides.gallery_GD);
    queries.push_back(sides.queries_QD);
  }
  const at::Tensor gallery_GD = side_by_side(gallery), queries_QD = side_by_side(queries);
  const int64_t num_rows = gallery_GD.size(0);
  const int64_t first = num_rows * group.rank() / group.size();
  const int64_t last = num_rows * (group.rank() + 1) / group.size();
  // One more: a query's own image is nearest to it.
  TopKSearch search(queries_QD, count + 1);
  search.add(gallery_GD.narrow(0, first, last - first), first);
  const TopK own = search.result();
  const std::vector<std::string> scores = group.all_gather(bytes_of(own.scores_QK));
  const std::vector<std::string> rows = group.all_gather(bytes_of(own.rows_QK));
  std::vector<TopK> parts;
  for (size_t rank = 0; rank < rows.size(); ++rank)
    parts.push_back({tensor_of(scores[rank], own.scores_QK.sizes(), at::kFloat),
                     tensor_of(rows[rank], own.rows_QK.sizes(), at::kLong)});
  const std::vector<int64_t> own_Q = own_rows(models.front().queries, models.front().gallery);
  return without_own(merge_top_k(parts, count + 1), own_Q, count);
}

std::string nearest_csv(const TopK& nearest, const std::vector<MatchModel>& models,
                        const MatchNames& names) {
  const std::vector<std::string>& queries = models.front().queries.ids;
  const std::vector<std::string>& gallery = models.front().gallery.ids;
  const auto rows = nearest.rows_QK.accessor<int64_t, 2>();
  const auto scores = nearest.scores_QK.accessor<float, 2>();
  std::string text = "query,place,image,individual,cosine\n";
  for (int64_t q = 0; q < rows.size(0); ++q) {
    for (int64_t place = 0; place < rows.size(1) && rows[q][place] >= 0; ++place) {
      const std::string& image = gallery[static_cast<size_t>(rows[q][place])];
      const auto name = names.gallery.find(image);
      text +=
          fmt::format("{},{},{},{},{:.6f}\n", csv_field(queries[static_cast<size_t>(q)]), place + 1,
                      csv_field(image), name == names.gallery.end() ? "" : csv_field(name->second),
                      scores[q][place]);
    }
  }
  return text;
}

}  // namespace baleen
