#include <fmt/format.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <cmath>
#include <cstdio>
#include <filesystem>

#include "core/base/atomic_file.h"
#include "core/base/error.h"
#include "core/base/logging.h"
#include "core/base/stopwatch.h"
#include "data/image/image.h"
#include "data/pack/csv.h"
#include "distributed/communicator.h"
#include "experiments/collective.h"
#include "experiments/gallery/key_points.h"
#include "experiments/gallery/match.h"
#include "experiments/gallery/match_page.h"
#include "experiments/gallery/nearest_images.h"
#include "launch/one_rank.h"
#include "launch/process.h"
#include "launch/verbs/match_arguments.h"
#include "launch/verbs/verbs.h"

namespace baleen {
namespace {

constexpr int64_t kThumbnailPx = 160;

/// A packed dataset that one side's images and names come from; null: the side is tables only.
std::shared_ptr<const PackedDataset> open_images(const std::vector<std::string>& side,
                                                 const std::string& images) {
  if (!images.empty()) return PackedDataset::open(images);
  if (std::filesystem::is_directory(side.front())) return PackedDataset::open(side.front());
  return nullptr;
}

/// Individuals by image: a CSV file with columns Image and Id, else the classes of packed images.
std::map<std::string, std::string> names_of(const std::string& file, const PackedDataset* dataset) {
  std::map<std::string, std::string> names;
  if (!file.empty()) {
    const CsvTable table = CsvTable::read(file);
    const size_t image = table.column("Image"), id = table.column("Id");
    for (size_t row = 0; row < table.num_rows(); ++row) {
      const auto [place, fresh] = names.emplace(table.at(row, image), table.at(row, id));
      if (!fresh && place->second != table.at(row, id)) {
        throw Error(ErrorKind::kData,
                    fmt::format("{}:{}: '{}' is '{}' here and '{}' before", file, table.line(row),
                                place->first, table.at(row, id), place->second));
      }
    }
  } else if (dataset && dataset->target_kind() == TargetKind::kSingleClass) {
    for (const int64_t row : dataset->originals())
      names[dataset->id(row)] =
          dataset->label_names()[static_cast<size_t>(dataset->class_index(row))];
  }
  return names;
}

std::vector<MatchModel> load_models(const MatchArguments& arguments, const VerbContext& context,
                                    Communicator& group) {
  std::vector<MatchModel> models;
  if (arguments.weights.empty()) {
    if (arguments.gallery.size() != arguments.queries.size()) {
      throw Error(ErrorKind::kUsage,
                  fmt::format("{} tables of gallery features and {} of query features",
                              arguments.gallery.size(), arguments.queries.size()),
                  "give both once per model, in the same order");
    }
    agreed(group, [&] {
      for (size_t m = 0; m < arguments.gallery.size(); ++m)
        models.push_back({.gallery = read_features(arguments.gallery[m]),
                          .queries = read_features(arguments.queries[m])});
    });
    return models;
  }
  if (arguments.gallery.size() != 1 || arguments.queries.size() != 1) {
    throw Error(ErrorKind::kUsage,
                "with --weights, gallery and queries are one packed dataset each");
  }
  const auto gallery = PackedDataset::open(arguments.gallery[0]);
  const auto queries = PackedDataset::open(arguments.queries[0]);
  EmbedOptions options = arguments.embed;
  options.stop = [stop = context.stop] { return stop->load(); };
  for (const std::string& weights : arguments.weights) {
    models.push_back(
        {embed_dataset(weights, gallery, arguments.gallery[0], *context.extensions, options, group),
         embed_dataset(weights, queries, arguments.queries[0], *context.extensions, options, group),
         agreed(group, [&] { return read_pair_scores(weights); })});
  }
  if (!arguments.keep_features.empty()) {
    on_first_rank(group, [&] {
      const std::filesystem::path folder = arguments.keep_features;
      std::filesystem::create_directories(folder);
      for (size_t m = 0; m < models.size(); ++m) {
        write_features(folder / fmt::format("gallery-{}.h5", m + 1), models[m].gallery);
        write_features(folder / fmt::format("queries-{}.h5", m + 1), models[m].queries);
      }
    });
  }
  return models;
}

/// [collective] Finds the key points of all images where they are asked for; null: they are not.
std::unique_ptr<KeyPointCounter> key_point_counter(const MatchArguments& arguments,
                                                   const std::vector<MatchModel>& models,
                                                   const VerbContext& context,
                                                   Communicator& group) {
  if (arguments.key_points == 0) return nullptr;
  KeyPointOptions options{arguments.local_features, arguments.key_point_cache,
                          arguments.embed.threads, [stop = context.stop] { return stop->load(); }};
  std::vector<LocalFeatures> all;
  const auto find = [&](const std::vector<std::string>& side, const std::string& images,
                        const std::string& masks, const FeatureTable& table) {
    const KeyPointSource source = agreed(group, [&] {
      const auto dataset = open_images(side, images);
      if (dataset) return KeyPointSource{dataset, masks};
      throw Error(ErrorKind::kUsage, "key points are found in images, and here are only tables",
                  "name packed images with --gallery-images and --query-images");
    });
    for (LocalFeatures& found : find_key_points(source, table.ids, options, group))
      all.push_back(std::move(found));
  };
  find(arguments.gallery, arguments.gallery_images, arguments.gallery_masks,
       models.front().gallery);
  find(arguments.queries, arguments.query_images, arguments.query_masks, models.front().queries);
  if (!models.front().strangers.ids.empty())
    find(arguments.gallery, arguments.gallery_images, arguments.gallery_masks,
         models.front().strangers);
  return std::make_unique<KeyPointCounter>(std::move(all), arguments.local_match, options.threads,
                                           group);
}

std::function<std::string(const std::string&)> thumbnails(
    std::shared_ptr<const PackedDataset> dataset) {
  if (!dataset) return {};
  return [dataset](const std::string& id) {
    const int64_t row = dataset->row_of(id);
    if (row < 0) return std::string();
    std::vector<uint8_t> scratch;
    return thumbnail_jpeg(dataset->image(row, kThumbnailPx, scratch), kThumbnailPx);
  };
}

void print_summary(const MatchResult& result, const MatchOptions& options, double seconds) {
  std::printf("%zu queries, %zu gallery images: %.1f s\n", result.query_ids.size(),
              result.gallery_ids.size(), seconds);
  if (result.num_own > 0) {
    std::printf("%lld queries are gallery images: each is compared with all others\n",
                static_cast<long long>(result.num_own));
  }
  if (result.weights.size() > 1) {
    for (size_t m = 0; m < result.weights.size(); ++m)
      std::printf("weight of %s %zu: %.3f\n",
                  options.classifier && m + 1 == result.weights.size() ? "classifier" : "model",
                  m + 1, result.weights[m]);
  }
  if (result.key_points) {
    const KeyPointChoice& choice = *result.key_points;
    std::printf("weight of matching key points: %.4f; individuals with one image: %+g, times %g\n",
                choice.weight, choice.added, choice.factor);
  }
  if (!options.unknown.empty())
    std::printf("below %.4f: %s\n", result.threshold, options.unknown.c_str());
  for (const auto& [learner, auc] : result.newcomer_auc)
    std::printf("unknown or not, by %-9s ROC-AUC %.4f on the gallery\n", learner.c_str(), auc);
  if (!result.newcomers_missing.empty())
    std::printf("without LightGBM: %s\n", result.newcomers_missing.c_str());
  if (result.validation) {
    std::printf("validation on the gallery: answers are worth %.4f (distances: %s)\n",
                result.validation->score, name_of(result.map));
  }
  if (result.mean_reciprocal_place) {
    std::printf("truth is known: mAP@%lld %.4f, first answer right %.4f\n",
                static_cast<long long>(options.answers), *result.mean_reciprocal_place,
                *result.first_right);
  }
}

/// Gallery images of whoever is called as individuals are that are not in the gallery: as class of
/// their own, as in some competitions' lists, they are nobody to be found, but can be asked about.
void set_strangers_apart(const std::string& unknown, const MatchNames& names,
                         std::vector<MatchModel>& models) {
  if (unknown.empty()) return;
  std::vector<std::string> kept, strangers;
  for (const std::string& id : models.front().gallery.ids) {
    const auto name = names.gallery.find(id);
    const bool known = name == names.gallery.end() || name->second != unknown;
    (known ? kept : strangers).push_back(id);
  }
  if (strangers.empty()) return;
  if (kept.empty())
    throw Error(ErrorKind::kData, fmt::format("all gallery images are of '{}'", unknown),
                "name another individual --unknown, or give a gallery of known ones");
  log_info("{} gallery images of '{}' are nobody to be found: they ask in validation",
           strangers.size(), unknown);
  for (MatchModel& model : models) {
    model.strangers = model.gallery.select(strangers);
    model.gallery = model.gallery.select(kept);
  }
}

int run_match(const MatchArguments& arguments, VerbContext& context) {
  OneRank alone;
  const std::shared_ptr<Communicator> world = context.mpi ? context.mpi->world() : nullptr;
  Communicator& group = world ? *world : alone;
  const Stopwatch watch;
  // Mistakes in what was asked for show before hours of work.
  MatchOptions options = match_options(arguments);
  check_options(options);
  const auto gallery = open_images(arguments.gallery, arguments.gallery_images);
  const auto queries = open_images(arguments.queries, arguments.query_images);
  const MatchNames names = agreed(group, [&] {
    return MatchNames{names_of(arguments.identities, gallery.get()),
                      names_of(arguments.truth, queries.get())};
  });
  std::vector<MatchModel> models = load_models(arguments, context, group);
  set_strangers_apart(options.unknown, names, models);
  const TopK nearest =
      arguments.nearest.empty() ? TopK() : nearest_images(models, arguments.nearest_count, group);
  const auto counter = key_point_counter(arguments, models, context, group);
  const auto answer = [&] {
    if (counter) {
      options.key_points->count = [&](const std::vector<KeyPointPair>& pairs) {
        return counter->count(pairs);
      };
    }
    const MatchResult result = match(models, names, options);
    write_file_atomically(arguments.output, answers_csv(result, arguments.separator));
    if (!arguments.pseudo_labels.empty())
      write_file_atomically(arguments.pseudo_labels, pseudo_labels_csv(result, arguments.certain));
    if (!arguments.nearest.empty())
      write_file_atomically(arguments.nearest, nearest_csv(nearest, models, names));
    if (!arguments.page.empty()) {
      MatchPageOptions page{arguments.title, arguments.page_queries, thumbnails(queries),
                            thumbnails(gallery), names.queries};
      write_file_atomically(arguments.page, match_page(result, page));
    }
    print_summary(result, options, watch.elapsed_s());
    std::printf("answers in %s%s%s\n", arguments.output.c_str(),
                arguments.page.empty() ? "" : ", page in ", arguments.page.c_str());
  };
  agreed(group, [&] {
    if (group.rank() != 0) return counter ? counter->serve() : void();
    try {
      answer();
    } catch (...) {
      if (counter) counter->finish();
      throw;
    }
    if (counter) counter->finish();
  });
  return 0;
}

}  // namespace

Verb make_match_verb() {
  Verb verb;
  verb.name = "match";
  verb.summary = "say which known individuals images show, by their features";
  verb.examples =
      "  mpirun -n 4 baleen match --weights whale.safetensors --gallery packed/known --queries "
      "packed/new \\\n"
      "      --unknown new_whale --page matches.html\n"
      "  baleen match --gallery known.h5 --queries new.h5 --identities train.csv\n"
      "  baleen match --weights w.safetensors --gallery packed/lions --queries packed/lions\n"
      "                                                     each image against all others";
  verb.shares_work = true;
  auto arguments = std::make_shared<MatchArguments>();
  verb.declare_options = [arguments](CLI::App& app) { declare_match_options(app, *arguments); };
  verb.run = [arguments](VerbContext& context) { return run_match(*arguments, context); };
  return verb;
}

}  // namespace baleen
