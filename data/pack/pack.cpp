#include "data/pack/pack.h"

#include <fmt/format.h>

#include <array>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>

#include "core/base/atomic_file.h"
#include "core/base/digest.h"
#include "core/base/error.h"
#include "core/config/decode.h"
#include "core/config/encode.h"
#include "data/manifest.h"
#include "data/pack/balance.h"
#include "data/pack/convert.h"
#include "data/pack/csv.h"
#include "data/pack/group_duplicates.h"
#include "data/pack/output_directory.h"
#include "data/pack/selection.h"
#include "data/pack/shard_writer.h"
#include "data/pack/sources.h"

namespace baleen {
namespace {

namespace fs = std::filesystem;

// What will become one dataset.
struct Part {
  fs::path target;
  std::string identity;
  std::vector<size_t> samples;  // indices into the list of sources
};

// The options that decide what is written, as JSON.
std::string effective_options(PackOptions options) {
  options.output.clear();
  options.threads = 0;
  return config::to_json(options);
}

std::vector<Part> plan_parts(const PackOptions& options, const SourceList& list) {
  const std::vector<bool> held = choose_hold_out(options, list);
  const std::string common = fmt::format("{}\n{}\nversion {}\n", effective_options(options),
                                         digest_of(list), Manifest::kVersion);
  std::vector<Part> parts;
  fs::path output = fs::path(options.output).lexically_normal();
  if (!output.has_filename()) output = output.parent_path();
  parts.push_back({.target = output, .identity = digest_hex(common + "train")});
  if (!held.empty())
    parts.push_back({.target = output.string() + "-test", .identity = digest_hex(common + "test")});
  for (size_t i = 0; i < list.samples.size(); ++i)
    parts[!held.empty() && held[i] ? 1 : 0].samples.push_back(i);
  return parts;
}

int64_t bytes_of(const Manifest& manifest) {
  int64_t bytes = 0;
  for (const ShardEntry& shard : manifest.shards) bytes += shard.bytes;
  return bytes;
}

// The manifest of a part that exists with this very content, all its files in place.
std::optional<Manifest> find_complete(const Part& part) {
  if (!fs::exists(part.target / Manifest::kFileName)) return std::nullopt;
  try {
    Manifest manifest = read_manifest(part.target);
    if (manifest.identity != part.identity) return std::nullopt;
    for (const ShardEntry& shard : manifest.shards) {
      std::error_code error;
      if (fs::file_size(part.target / shard.file, error) != static_cast<uintmax_t>(shard.bytes) ||
          error)
        return std::nullopt;
    }
    return manifest;
  } catch (const Error&) {
    return std::nullopt;  // damaged: packed again where that is allowed
  }
}

void refuse_to_replace(const Part& part, bool overwrite) {
  if (!fs::exists(part.target)) return;
  if (!fs::exists(part.target / Manifest::kFileName) &&
      !(fs::is_directory(part.target) && fs::is_empty(part.target)))
    throw Error(ErrorKind::kConfiguration,
                part.target.string() + " exists and is no packed dataset: it is not replaced",
                "choose another `output`");
  if (!overwrite && fs::exists(part.target / Manifest::kFileName))
    throw Error(
        ErrorKind::kConfiguration,
        part.target.string() + " was packed with other options or from other files, or is damaged",
        "remove it, choose another `output`, or allow overwriting");
}

int64_t thread_count(const PackOptions& options) {
  if (options.threads > 0) return options.threads;
  return std::max<int64_t>(1, std::thread::hardware_concurrency());
}

// Converts a block of samples on all threads; the result is in the order of the samples.
std::vector<ConvertedSample> convert_block(const PackOptions& options, const SourceList& list,
                                           std::span<const size_t> samples) {
  std::vector<ConvertedSample> converted(samples.size());
  std::atomic<size_t> next = 0;
  std::mutex mutex;
  std::exception_ptr failure;
  const auto work = [&] {
    for (size_t i = next++; i < samples.size(); i = next++) {
      try {
        converted[i] = convert_sample(options, list, list.samples[samples[i]]);
      } catch (...) {
        const std::lock_guard lock(mutex);
        failure = std::current_exception();
        next = samples.size();
      }
    }
  };
  {
    std::vector<std::jthread> threads;
    const int64_t count = std::min(thread_count(options), std::ssize(samples));
    for (int64_t t = 1; t < count; ++t) threads.emplace_back(work);
    work();
  }
  if (failure) std::rethrow_exception(failure);
  return converted;
}

// Packs one part into its working directory.
class PartPacker {
 public:
  PartPacker(const PackOptions& options, const SourceList& list, const Part& part)
      : options_(options), part_(part), output_(part.target) {
    manifest_.target_kind = list.target_kind;
    manifest_.label_names = list.label_names;
    manifest_.label_counts.resize(list.label_names.size());
    manifest_.channels = options.channels;
    manifest_.variants = stored_variants(options);
    manifest_.encoding = options.encoding == "jpeg" ? Encoding::kJpeg : Encoding::kRaw;
    manifest_.options = effective_options(options);
    manifest_.identity = part.identity;
  }

  void add(ConvertedSample&& sample, const SourceSample& source) {
    if (sample.problem.empty()) check_size(sample);
    if (!sample.problem.empty()) {
      bad_.push_back({source.id, source.file, sample.problem});
      // One bad image is enough for nothing to be written, but the others are still looked at, to
      // name them all.
      if (options_.bad_images == "fail") writer_.reset();
      return;
    }
    for (size_t c = 0; c < channel_sums_.size(); ++c)
      channel_sums_[c] += static_cast<double>(sample.channel_sums[c]);
    if (options_.bad_images == "fail" && !bad_.empty()) return;
    if (!writer_)
      writer_ = std::make_unique<ShardWriter>(
          output_.path() / fmt::format("shard-{:03}.h5", manifest_.shards.size()), manifest_);
    writer_->append(sample.row);
    for (const int64_t label : sample.row.labels)
      ++manifest_.label_counts[static_cast<size_t>(label)];
    ++manifest_.rows;
    manifest_.copies += !sample.row.copy_of.empty();
    if (writer_->rows() == options_.shard_samples) finish_shard();
  }

  // Completes the working directory; publish() makes it visible.
  void finish() {
    if (writer_) finish_shard();
    if (manifest_.rows == 0)
      throw Error(ErrorKind::kData,
                  "none of the images for " + part_.target.string() + " can be read");
    const Resolution& size = manifest_.resolutions[0];
    const double pixels = static_cast<double>(manifest_.rows * size.height * size.width);
    for (int64_t c = 0; c < manifest_.channels; ++c)
      manifest_.mean_colour.push_back(channel_sums_[static_cast<size_t>(c)] / pixels);
    if (!bad_.empty()) write_quarantine();
    write_file_atomically(output_.path() / Manifest::kFileName, manifest_text(manifest_));
  }

  void publish() { output_.publish(); }

  const std::vector<BadImage>& bad() const { return bad_; }
  const Manifest& manifest() const { return manifest_; }
  const Part& part() const { return part_; }

 private:
  void check_size(ConvertedSample& sample) {
    if (manifest_.resolutions.empty()) {
      manifest_.resolutions = stored_resolutions(options_, sample.height, sample.width);
      first_id_ = sample.row.id;
      return;
    }
    const Resolution& size = manifest_.resolutions[0];
    if (sample.height != size.height || sample.width != size.width)
      sample.problem = fmt::format("it has {} x {} px, '{}' has {} x {} (set fit: crop or squash)",
                                   sample.height, sample.width, first_id_, size.height, size.width);
  }

  void finish_shard() {
    manifest_.shards.push_back(writer_->finish());
    writer_.reset();
  }

  void write_quarantine() {
    std::string csv = "id,file,reason\n";
    for (const BadImage& image : bad_)
      csv += fmt::format("{},{},{}\n", csv_field(image.id), csv_field(image.file.string()),
                         csv_field(image.reason));
    write_file_atomically(output_.path() / Manifest::kQuarantineFileName, csv);
    manifest_.num_quarantined = std::ssize(bad_);
    manifest_.quarantine_digest = digest_hex(csv);
  }

  const PackOptions& options_;
  const Part& part_;
  OutputDirectory output_;
  Manifest manifest_;
  std::unique_ptr<ShardWriter> writer_;
  std::vector<BadImage> bad_;
  std::array<double, 3> channel_sums_{};  // exact: integers below 2^53
  std::string first_id_;
};

void fill(PartPacker& packer, const PackOptions& options, const PackControl& control,
          const SourceList& list, int64_t& done, int64_t total) {
  // Large enough to keep every thread busy, small enough for a handful of photographs per thread to
  // fit in memory.
  const size_t block = static_cast<size_t>(thread_count(options)) * (list.idx ? 512 : 8);
  const std::span<const size_t> samples = packer.part().samples;
  for (size_t first = 0; first < samples.size(); first += block) {
    if (control.stop_requested && control.stop_requested())
      throw Error(ErrorKind::kInterrupted, "packing was stopped; nothing was kept",
                  "run the same command again");
    const auto of_block = samples.subspan(first, std::min(block, samples.size() - first));
    std::vector<ConvertedSample> converted = convert_block(options, list, of_block);
    for (size_t i = 0; i < of_block.size(); ++i)
      packer.add(std::move(converted[i]), list.samples[of_block[i]]);
    done += std::ssize(of_block);
    if (control.on_progress) control.on_progress(done, total);
  }
}

void throw_bad_images(const std::vector<BadImage>& bad, int64_t total) {
  std::string message = fmt::format("{} of {} images can't be packed:", bad.size(), total);
  for (const BadImage& image : bad)
    message += fmt::format("\n    {}: {}", image.file.string(), image.reason);
  throw Error(ErrorKind::kData, message,
              "repair or remove these files, or set bad_images: quarantine to pack without them; "
              "nothing was written");
}

// The rules of the configuration, for options that were not read from a file.
void check_options(const PackOptions& options) {
  config::decode<PackOptions>(config::Document::parse(config::to_yaml(options), "pack options"));
}

}  // namespace

bool PackSummary::already_complete() const {
  return std::all_of(parts.begin(), parts.end(),
                     [](const Part& part) { return part.already_complete; });
}

std::string PackSummary::text() const {
  std::string text;
  for (const Part& part : parts) {
    text += fmt::format("{}: {} samples, {:.1f} MiB{}\n", part.directory.string(), part.rows,
                        static_cast<double>(part.bytes) / (1 << 20),
                        part.already_complete ? ", already complete" : "");
    if (part.quarantined.empty()) continue;
    text += fmt::format("  {} bad images left out, listed in {}:\n", part.quarantined.size(),
                        (part.directory / Manifest::kQuarantineFileName).string());
    for (const BadImage& image : part.quarantined)
      text += fmt::format("    {}: {}\n", image.file.string(), image.reason);
  }
  for (const std::string& note : notes) text += "note: " + note + "\n";
  return text;
}

PackSummary pack_dataset(const PackOptions& options, const PackControl& control) {
  check_options(options);
  SourceList list = list_sources(options);
  apply_limits(options, list);
  if (options.duplicates.group)
    group_duplicates(options, control.stop_requested, thread_count(options), list);
  std::vector<Part> parts = plan_parts(options, list);
  add_balancing_copies(options, list, parts[0].samples);

  PackSummary summary;
  summary.notes = list.notes;
  int64_t total = 0;
  std::vector<std::unique_ptr<PartPacker>> packers(parts.size());
  for (size_t p = 0; p < parts.size(); ++p) {
    summary.parts.push_back({.directory = parts[p].target});
    if (const std::optional<Manifest> manifest = find_complete(parts[p])) {
      summary.parts[p].rows = manifest->rows;
      summary.parts[p].bytes = bytes_of(*manifest);
      summary.parts[p].already_complete = true;
      continue;
    }
    refuse_to_replace(parts[p], control.overwrite);
    packers[p] = std::make_unique<PartPacker>(options, list, parts[p]);
    total += std::ssize(parts[p].samples);
  }

  int64_t done = 0;
  std::vector<BadImage> bad;
  for (const auto& packer : packers) {
    if (!packer) continue;
    fill(*packer, options, control, list, done, total);
    bad.insert(bad.end(), packer->bad().begin(), packer->bad().end());
  }
  if (options.bad_images == "fail" && !bad.empty()) throw_bad_images(bad, total);
  for (const auto& packer : packers)
    if (packer) packer->finish();
  for (size_t p = 0; p < parts.size(); ++p) {
    if (!packers[p]) continue;
    packers[p]->publish();
    summary.parts[p].rows = packers[p]->manifest().rows;
    summary.parts[p].bytes = bytes_of(packers[p]->manifest());
    summary.parts[p].quarantined = packers[p]->bad();
  }
  return summary;
}

}  // namespace baleen
