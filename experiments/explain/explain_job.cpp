#include "experiments/explain/explain_job.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <numeric>
#include <set>

#include "core/base/atomic_file.h"
#include "core/base/error.h"
#include "core/base/nearest.h"
#include "data/image/heat_map.h"
#include "data/inspect.h"
#include "data/prediction_table.h"
#include "experiments/classification_chain.h"
#include "experiments/explain/picture_names.h"
#include "experiments/export_weights.h"

namespace baleen {
namespace {

/// Log loss of each prediction, for telling the worst from the best.
std::vector<double> losses(const PredictionTable& predictions, const PackedDataset& dataset) {
  const at::Tensor values = predictions.values().to(at::kDouble).clamp(1e-7, 1 - 1e-7);
  std::vector<double> result;
  for (int64_t n = 0; n < values.size(0); ++n) {
    const int64_t row = dataset.row_of(predictions.ids()[static_cast<size_t>(n)]);
    const double* p = values[n].const_data_ptr<double>();
    double loss = 0;
    if (row >= 0 && dataset.target_kind() == TargetKind::kSingleClass) {
      loss = -std::log(p[dataset.class_index(row)]);
    } else if (row >= 0 && dataset.target_kind() == TargetKind::kMultiLabel) {
      const auto labels = dataset.labels(row);
      for (size_t l = 0; l < labels.size(); ++l) loss -= std::log(labels[l] ? p[l] : 1 - p[l]);
    }
    result.push_back(loss);
  }
  return result;
}

std::vector<std::string> picked_ids(const ExplainJob& job, const PredictionTable& predictions,
                                    const PackedDataset& dataset) {
  if (!job.ids.empty()) return job.ids;
  std::vector<size_t> order(static_cast<size_t>(predictions.num_rows()));
  std::iota(order.begin(), order.end(), size_t{0});
  const std::vector<double> loss = losses(predictions, dataset);
  if (job.pick == "worst")
    std::stable_sort(order.begin(), order.end(),
                     [&](size_t a, size_t b) { return loss[a] > loss[b]; });
  if (job.pick == "best")
    std::stable_sort(order.begin(), order.end(),
                     [&](size_t a, size_t b) { return loss[a] < loss[b]; });
  std::vector<std::string> ids;
  for (size_t i = 0; i < order.size() && std::ssize(ids) < job.count; ++i)
    ids.push_back(predictions.ids()[order[i]]);
  return ids;
}

std::vector<ExplainedImage> images_of_run(const ExplainJob& job, const RunDirectory& run,
                                          const PreparedRun& prepared,
                                          const ExplainedNetwork& network) {
  const ChainSpec& chain = prepared.plan.chain(network.chain);
  const auto dataset = prepared.dataset->variant(
      prepared.recipe.backbones.at(static_cast<size_t>(chain.backbone)).variant);
  const PredictionTable predictions =
      PredictionTable::read(ChainFiles(run.chain(network.chain)).held_out());
  std::vector<ExplainedImage> images;
  std::vector<uint8_t> scratch;
  for (const std::string& id : picked_ids(job, predictions, *dataset)) {
    const int64_t row = dataset->row_of(id);
    if (row < 0) {
      throw Error(ErrorKind::kUsage, fmt::format("the dataset has no sample '{}'", id));
    }
    images.push_back(prepare_image(network, id, dataset->image(row, network.size_px, scratch)));
    images.back().truth = label_text(*dataset, row);
  }
  return images;
}

std::string first_chain(const ExplainJob& job, const RunDirectory& run) {
  const std::vector<std::string> chains = exportable_chains(run);
  if (chains.empty())
    throw Error(ErrorKind::kUsage, run.root().string() + " has no finished chain yet");
  if (job.chain.empty()) return chains.front();
  if (std::find(chains.begin(), chains.end(), job.chain) == chains.end()) {
    throw Error(ErrorKind::kUsage,
                fmt::format("{} has no finished chain '{}'", run.root().string(), job.chain),
                suggestion(job.chain, chains));
  }
  return job.chain;
}

/// The outputs that are explained for an image, most probable first.
std::vector<int64_t> outputs_of(const ExplainJob& job, const ExplainedNetwork& network,
                                const at::Tensor& probabilities_K) {
  std::vector<int64_t> outputs;
  for (const std::string& label : job.labels) {
    const auto found = std::find(network.labels.begin(), network.labels.end(), label);
    if (found == network.labels.end()) {
      throw Error(ErrorKind::kUsage, fmt::format("the network has no label '{}'", label),
                  suggestion(label, network.labels));
    }
    outputs.push_back(found - network.labels.begin());
  }
  if (!outputs.empty()) return outputs;
  const at::Tensor order = std::get<1>(probabilities_K.sort(/*stable=*/true, 0, true));
  for (int64_t i = 0; i < std::min(job.top, order.size(0)); ++i)
    outputs.push_back(order[i].item<int64_t>());
  return outputs;
}

at::Tensor maps_by(const std::string& method, const ExplainJob& job, Backbone& network,
                   const at::Tensor& input, const std::vector<int64_t>& outputs) {
  if (method == "gradcam") return grad_cam(network, input, outputs);
  if (method == "saliency") return saliency(network, input, outputs);
  if (method == "smoothgrad") return smooth_grad(network, input, outputs, job.smooth);
  if (method == "guided") return guided_backpropagation(network, input, outputs);
  static const std::vector<std::string> kMethods = {"gradcam", "saliency", "smoothgrad", "guided"};
  throw Error(ErrorKind::kUsage, fmt::format("unknown method '{}'", method),
              suggestion(method, kMethods));
}

Image overlay(const ExplainedImage& image, const at::Tensor& map_HW, double opacity) {
  const at::Tensor dense = map_HW.to(at::kFloat).contiguous();
  const float* values = dense.const_data_ptr<float>();
  return overlay_heat(image.shown.view(), {values, values + dense.numel()}, opacity);
}

/// A row for each label of an image that is explained.
std::vector<ExplainRow> explain_image(const ExplainJob& job, const ExplainedNetwork& network,
                                      const ExplainedImage& image) {
  at::Tensor logits;
  {
    const at::NoGradGuard no_grad;
    logits = network.network->forward(image.input_1CHW)[0].to(at::kDouble);
  }
  const at::Tensor p = network.classes ? at::softmax(logits, 0) : at::sigmoid(logits);
  const std::vector<int64_t> outputs = outputs_of(job, network, p);
  std::vector<at::Tensor> maps;
  for (const std::string& method : job.methods)
    maps.push_back(
        scaled_maps(maps_by(method, job, *network.network, image.input_1CHW, outputs))[0]);
  std::vector<ExplainRow> rows;
  for (size_t o = 0; o < outputs.size(); ++o) {
    ExplainRow& row =
        rows.emplace_back(ExplainRow{.image = image.name,
                                     .truth = image.truth,
                                     .label = network.labels[static_cast<size_t>(outputs[o])],
                                     .probability = p[outputs[o]].item<double>(),
                                     .pictures = {image.shown}});
    for (const at::Tensor& map_PHW : maps)
      row.pictures.push_back(overlay(image, map_PHW[static_cast<int64_t>(o)], job.opacity));
  }
  return rows;
}

}  // namespace

std::string run_explain_job(const ExplainJob& job, const BackboneRegistry& registry) {
  const bool from_run = std::filesystem::is_directory(job.source);
  const RunDirectory run(job.source);
  const std::filesystem::path weights =
      from_run ? ChainFiles(run.chain(first_chain(job, run))).weights() : job.source;
  const ExplainedNetwork network = load_explained(weights, registry);
  std::vector<ExplainedImage> images;
  if (!job.images.empty()) {
    for (const SourceImage& source : source_images(job.images)) {
      if (std::ssize(images) == job.count) break;
      const Image photograph =
          as_packed(network, read_image(source.file, network.channels == 1 ? 1 : 3));
      images.push_back(prepare_image(network, source.name, photograph.view()));
    }
  } else if (from_run) {
    images = images_of_run(job, run, prepare_run(load_recipe(run.config(), {}), nullptr), network);
  } else {
    throw Error(ErrorKind::kUsage, "there are no images: a weights file brings none",
                "give some with --images");
  }
  std::filesystem::create_directories(job.output);
  ExplainPage page{.network = network.backbone, .source = weights.string(), .methods = job.methods};
  std::vector<SheetCell> cells;
  PictureNames names;
  size_t written = 0;
  for (const ExplainedImage& image : images) {
    for (ExplainRow& row : explain_image(job, network, image)) {
      for (size_t m = 0; m < job.methods.size(); ++m, ++written) {
        write_file_atomically(job.output / names.next(row.image, row.label, job.methods[m]),
                              encode_png(row.pictures[m + 1].view()));
      }
      cells.push_back({row.pictures,
                       {row.image, fmt::format("{} p = {:.3f}", row.label, row.probability),
                        row.truth.empty() ? "" : "true: " + row.truth}});
      page.rows.push_back(std::move(row));
    }
  }
  write_contact_sheet(cells, job.output / "sheet.png", {.columns = 2, .cell_px = 128});
  write_file_atomically(job.output / "explain.html", render_explain_page(page));
  return fmt::format("{}: {} images, {} maps ({})\nwritten: {}\n", network.backbone, images.size(),
                     written, fmt::join(job.methods, ", "), (job.output / "explain.html").string());
}

std::vector<ExplainPage> explain_run(const RunDirectory& directory, const PreparedRun& run,
                                     const BackboneRegistry& registry, int64_t count,
                                     const CheckStop& check_stop) {
  ExplainJob job;
  job.count = count;
  job.top = 1;
  job.methods = {"gradcam", "saliency"};
  std::vector<ExplainPage> pages;
  std::set<std::string> seen;
  for (const ChainSpec& chain : run.plan.chains) {
    const std::filesystem::path weights = ChainFiles(directory.chain(chain.name)).weights();
    if (seen.contains(chain.backbone_label) || !std::filesystem::exists(weights)) continue;
    seen.insert(chain.backbone_label);
    ExplainPage& page = pages.emplace_back(
        ExplainPage{.network = chain.backbone_label, .source = chain.name, .methods = job.methods});
    try {
      ExplainedNetwork network = load_explained(weights, registry);
      network.chain = chain.name;
      for (const ExplainedImage& image : images_of_run(job, directory, run, network)) {
        check_stop();
        for (ExplainRow& row : explain_image(job, network, image))
          page.rows.push_back(std::move(row));
      }
    } catch (const Error& error) {  // one network that is unknown or has no Grad-CAM
      if (error.kind() != ErrorKind::kConfiguration) throw;
      page.rows.clear();
      page.note = error.message();
    }
  }
  return pages;
}

}  // namespace baleen
