#pragma once

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <map>
#include <string>
#include <vector>

#include "experiments/gallery/match.h"

namespace baleen::testing {

/// Individuals around well separated centres; the last few are not in the gallery.
struct Herd {
  FeatureTable gallery{"gallery", {}, {}}, queries{"queries", {}, {}};
  MatchNames names;
};

inline Herd make_herd(int64_t individuals, int64_t strangers, double noise, uint64_t seed) {
  Herd herd;
  auto generator = at::detail::createCPUGenerator(seed);
  std::vector<at::Tensor> gallery, queries;
  for (int64_t id = 0; id < individuals; ++id) {
    const at::Tensor centre = at::randn({32}, generator);
    const auto add = [&](FeatureTable& table, std::vector<at::Tensor>& rows,
                         std::map<std::string, std::string>& names) {
      table.ids.push_back(fmt::format("{}-{}-{}", table.source, id, rows.size()));
      names[table.ids.back()] = fmt::format("w_{:03}", id);
      rows.push_back(centre + noise * at::randn({32}, generator));
    };
    for (int64_t image = 0; image < 3 && id < individuals - strangers; ++image)
      add(herd.gallery, gallery, herd.names.gallery);
    for (int64_t image = 0; image < 2; ++image) add(herd.queries, queries, herd.names.queries);
  }
  herd.gallery.features_ND = at::stack(gallery).to(at::kFloat);
  herd.queries.features_ND = at::stack(queries).to(at::kFloat);
  return herd;
}

}  // namespace baleen::testing
