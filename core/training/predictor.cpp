#include "core/training/predictor.h"

#include <ATen/ATen.h>

#include <limits>
#include <utility>

#include "core/base/error.h"
#include "core/nn/evaluation_mode.h"

namespace baleen {
namespace {

/// Probabilities of one chunk, look by look.
class Looks {
 public:
  Looks(Fusion fusion, const Loss& loss) : fusion_(fusion), loss_(loss) {}

  void add(const at::Tensor& probabilities_NK) {
    ++count_;
    if (fusion_ == Fusion::kRank) {
      all_.push_back(probabilities_NK);
    } else {
      sum_NK_ = sum_NK_.defined() ? sum_NK_.add_(probabilities_NK) : probabilities_NK.clone();
    }
  }

  /// [N, K] on the CPU. Not finite where any look is not.
  at::Tensor fused() {
    if (fusion_ == Fusion::kRank && count_ > 1) {
      const at::Tensor looks_SNK = at::stack(all_).to(at::kCPU);
      // What is not a number has no rank, but must be seen.
      const at::Tensor fused_NK = fuse_ranks(at::nan_to_num(looks_SNK));
      return at::where(at::isfinite(looks_SNK).all(0), fused_NK,
                       at::full_like(fused_NK, std::numeric_limits<double>::quiet_NaN()));
    }
    if (fusion_ == Fusion::kRank) return all_.front().to(at::kCPU).contiguous();
    if (count_ > 1) sum_NK_ = loss_.of_looks(sum_NK_.div_(static_cast<double>(count_)));
    return sum_NK_.to(at::kCPU).contiguous();
  }

 private:
  Fusion fusion_;
  const Loss& loss_;
  int64_t count_ = 0;
  at::Tensor sum_NK_;
  std::vector<at::Tensor> all_;
};

void check_finite(const at::Tensor& probabilities_NK, const std::vector<int64_t>& rows) {
  const at::Tensor finite = at::isfinite(probabilities_NK).all(1);
  if (finite.all().item<bool>()) return;
  const int64_t first = at::argmin(finite.to(at::kInt)).item<int64_t>();
  throw Error(
      ErrorKind::kNumeric,
      fmt::format("the prediction for row {} is not finite", rows[static_cast<size_t>(first)]),
      "the weights have diverged: lower the learning rate or add clip_norm");
}

/// A source's batches, with a look at the next one.
class Reader {
 public:
  explicit Reader(const LookSource& look) : look_(look) {
    look_.source->set_epoch(0, 0);
    next_ = look_.source->next();
  }
  bool at_end() const { return !next_; }

  /// Calls visit(images) for every look at the next chunk; the images are on the device.
  /// @returns the chunk's rows
  template <class Visitor>
  std::vector<int64_t> read_chunk(at::Device device, const Visitor& visit) {
    const std::vector<int64_t> rows = next_->rows;
    const int64_t chunk = next_->step;
    while (next_ && next_->step == chunk) {
      const Batch batch = std::move(*next_);
      next_ = look_.source->next();
      const at::Tensor images = batch.input(batch.images_NCHW.to(device));
      if (batch.pass > 0 || look_.views.empty()) {
        visit(images);
      } else {
        for (const View& view : look_.views) visit(view(images));
      }
    }
    return rows;
  }

 private:
  const LookSource& look_;
  std::optional<Batch> next_;
};

}  // namespace

void predict(Backbone& network, const Loss& loss, std::span<const LookSource> sources,
             Fusion fusion, Precision precision,
             const std::function<void(const std::vector<int64_t>&, const at::Tensor&)>& sink,
             const std::function<bool()>& stop) {
  const at::NoGradGuard no_grad;
  const EvaluationMode evaluation(network);
  const at::Device device = network.parameters().at(0).device();
  std::vector<Reader> readers(sources.begin(), sources.end());
  while (!readers.empty() && !readers.front().at_end()) {
    Looks looks(fusion, loss);
    const auto look = [&](const at::Tensor& view) {
      // Before each look, not each chunk: there may be dozens of looks at large images.
      if (stop && stop()) throw Error(ErrorKind::kInterrupted, "a signal asked the run to stop");
      const AutocastScope autocast(device.type(), precision);
      looks.add(loss.probabilities(network.forward(view)).to(at::kFloat));
    };
    std::vector<int64_t> rows;
    for (Reader& reader : readers) {
      std::vector<int64_t> own =
          reader.at_end() ? std::vector<int64_t>{} : reader.read_chunk(device, look);
      if (&reader == &readers.front()) {
        rows = std::move(own);
      } else if (own != rows) {
        throw Error(ErrorKind::kInternal, "the sources of a prediction have different chunks");
      }
    }
    const at::Tensor probabilities_NK = looks.fused();
    check_finite(probabilities_NK, rows);
    sink(rows, probabilities_NK);
  }
}

void predict(Backbone& network, const Loss& loss, BatchSource& source, Precision precision,
             const std::vector<View>& views,
             const std::function<void(const std::vector<int64_t>&, const at::Tensor&)>& sink,
             const std::function<bool()>& stop) {
  const LookSource look{&source, views};
  predict(network, loss, std::span(&look, 1), Fusion::kMean, precision, sink, stop);
}

}  // namespace baleen
