#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/explain/attribution.h"
#include "core/nn/backbone.h"
#include "data/augment/normalise.h"
#include "data/image/image.h"
#include "data/pack/options.h"
#include "experiments/after_chains.h"
#include "experiments/explain/explain_page.h"
#include "experiments/run.h"

namespace baleen {

/// A trained network with all that its weights file says about it.
struct ExplainedNetwork {
  std::shared_ptr<Backbone> network;  ///< in evaluation mode
  std::string backbone, chain;
  std::vector<std::string> labels;  ///< of its outputs
  bool classes = false;             ///< exactly one of them is true
  int64_t size_px = 0;
  int64_t channels = 0;
  std::string fit;  ///< stretch or crop
  Normalisation normalise;
  std::string variant;  ///< of the dataset's images it was trained on; empty: as they are
  /// How they were fitted and their haze was removed; unset: it was not, or by an earlier version
  /// that kept no record.
  std::optional<PackOptions> dehazing;
};

/// Builds the network that `baleen run` or `baleen export` wrote.
/// @throws Error kData naming the file, where its metadata or tensors do not make a network.
ExplainedNetwork load_explained(const std::filesystem::path& weights,
                                const BackboneRegistry& registry);

/// An image as the network sees it: the shown pixels, and the input [1, C, size, size].
struct ExplainedImage {
  std::string name;
  std::string truth;  ///< labels where they are known
  Image shown;
  at::Tensor input_1CHW;
};
ExplainedImage prepare_image(const ExplainedNetwork& network, const std::string& name,
                             const ImageView& image);

/// A photograph as the network's dataset would hold it: fitted and without haze, where it was
/// trained on such images.
/// @throws Error kUsage where the weights do not say how the haze was removed.
Image as_packed(const ExplainedNetwork& network, Image photograph);

/// What `baleen explain` does.
struct ExplainJob {
  std::filesystem::path source;     ///< run directory, or a weights file
  std::string chain;                ///< of the run; empty: the first that is finished
  std::vector<std::string> images;  ///< files and folders; empty: the chain's held-out images
  std::vector<std::string> ids;     ///< of the run's dataset; empty: as `pick` says
  std::vector<std::string> labels;  ///< outputs to explain; empty: the `top` of each image
  std::vector<std::string> methods = {"gradcam", "saliency", "smoothgrad", "guided"};
  std::string pick = "worst";  ///< worst, best or first of the held-out images
  int64_t count = 12;
  int64_t top = 2;
  double opacity = 0.4;
  SmoothGradOptions smooth;
  std::filesystem::path output = "explain";
};

/// Writes an overlay per image, label and method as PNG, a contact sheet, and one self-contained
/// HTML page. @returns what was written, for people
/// @throws Error kUsage, kData, kConfiguration, kStorage.
std::string run_explain_job(const ExplainJob& job, const BackboneRegistry& registry);

/// What the networks of a run look at, for its report: of each backbone the first finished chain,
/// with the held-out images that it gets most wrong and the label it held likeliest there, by
/// Grad-CAM and saliency. Of one that is not registered or has no Grad-CAM there is a note.
/// @param count images of each
/// @throws Error kData, kInterrupted.
std::vector<ExplainPage> explain_run(const RunDirectory& directory, const PreparedRun& run,
                                     const BackboneRegistry& registry, int64_t count,
                                     const CheckStop& check_stop);

}  // namespace baleen
