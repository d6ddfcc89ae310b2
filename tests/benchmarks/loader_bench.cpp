// Images per second of the loader, printed as one JSON line.
//
//   loader_bench --data packed/chips --task crop --out float --threads 1 --seconds 2
//
// Tasks: crop (random-resized crop and flip), plain (central crop and flip, without resizing), copy
// (memory copies of as many bytes as a batch of plain crops has), decode (the stored JPEGs whole,
// with libjpeg and nothing else), verify (gigabytes per second of verify_dataset()). The first
// epoch is not measured: it checks the checksums and brings the files into memory.
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>
#include <thread>

#include "core/base/error.h"
#include "core/base/memory.h"
#include "data/augment/image_to_tensor.h"
#include "data/loader.h"
#include "data/verify.h"
#include "tests/benchmarks/memory_status.h"
#include "tests/benchmarks/options.h"

namespace baleen {
namespace {

struct Arguments {
  std::string data;
  std::string task = "crop";
  std::string out = "float";
  int64_t size = 224;
  int64_t batch = 64;
  int64_t threads = 1;
  double seconds = 2;
  double scale_min = 0.08;
  bool channels_last = true;
};

Arguments parse(int argc, char** argv) {
  Arguments a;
  read_options(argc, argv,
               {{"--data", &a.data},
                {"--task", &a.task},
                {"--out", &a.out},
                {"--size", &a.size},
                {"--batch", &a.batch},
                {"--threads", &a.threads},
                {"--seconds", &a.seconds},
                {"--scale-min", &a.scale_min},
                {"--channels-last", &a.channels_last}});
  return a;
}

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

/// Calls `work` until the time is over; it returns how many images it did.
template <class Work>
nlohmann::json measure(double seconds, Work&& work) {
  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  const double cpu_before = cpu_seconds();
  int64_t images = 0;
  double wall = 0;
  do {
    images += work();
    wall = std::chrono::duration<double>(Clock::now() - start).count();
  } while (wall < seconds);
  const double cpu = cpu_seconds() - cpu_before;
  return {{"images", images},
          {"per_second", static_cast<double>(images) / wall},
          {"per_cpu_second", static_cast<double>(images) / cpu}};
}

std::unique_ptr<BatchSource> training_source(const Arguments& a,
                                             std::shared_ptr<const PackedDataset> dataset) {
  std::vector<int64_t> rows(static_cast<size_t>(dataset->size()));
  std::iota(rows.begin(), rows.end(), 0);
  TrainingFeedOptions feed;
  feed.batch = a.batch;
  feed.shards = {0, 1, 1};
  feed.seed = 1;
  feed.augment.flip_horizontal = true;
  feed.image.size_px = a.size;
  feed.image.normalise = resolve_normalisation({}, dataset->channels());
  feed.image.channels_last = a.channels_last;
  feed.image.bytes = a.out == "bytes";
  feed.image.threads = a.threads;
  feed.augment.random_crop = "resized";
  feed.augment.crop_scale_min = a.scale_min;
  return make_training_source(std::move(dataset), std::move(rows), feed);
}

nlohmann::json measure_loader(const Arguments& a) {
  const auto dataset = PackedDataset::open(a.data);
  const auto source = training_source(a, dataset);
  int64_t epoch = 0;
  source->set_epoch(epoch, 0);
  while (source->next()) {
  }
  source->set_epoch(++epoch, 0);
  nlohmann::json line = measure(a.seconds, [&]() -> int64_t {
    std::optional<Batch> batch = source->next();
    if (!batch) {
      source->set_epoch(++epoch, 0);
      return 0;
    }
    return batch->images_NCHW.size(0);
  });
  line["anonymous_mb"] = status_mb("RssAnon");
  return line;
}

/// The whole path of a row into its place in a batch, on threads of its own: no queue, no draws.
template <class OneImage>
nlohmann::json measure_threads(const Arguments& a, OneImage&& one_image) {
  constexpr int64_t kImagesPerTurn = 256;
  return measure(a.seconds, [&]() -> int64_t {
    std::vector<std::jthread> threads;
    for (int64_t t = 0; t < a.threads; ++t)
      threads.emplace_back([&, t] {
        for (int64_t i = 0; i < kImagesPerTurn; ++i) one_image(t, i);
      });
    threads.clear();
    return kImagesPerTurn * a.threads;
  });
}

nlohmann::json measure_plain(const Arguments& a) {
  const auto dataset = PackedDataset::open(a.data);
  const Normalisation normalisation = resolve_normalisation({}, dataset->channels());
  const PixelTable table(normalisation);
  const int64_t values = a.size * a.size * dataset->channels();
  std::vector<std::vector<float>> floats(static_cast<size_t>(a.threads));
  std::vector<std::vector<uint8_t>> bytes(static_cast<size_t>(a.threads));
  std::vector<ImageScratch> scratch(static_cast<size_t>(a.threads));
  for (auto& f : floats) f.resize(static_cast<size_t>(values * a.batch));
  for (auto& b : bytes) b.resize(static_cast<size_t>(values * a.batch));
  const auto one = [&](int64_t thread, int64_t i) {
    const auto t = static_cast<size_t>(thread);
    const ImageView image =
        dataset->image((thread * 997 + i) % dataset->size(), a.size, scratch[t].decoded);
    AugmentDraw draw;
    draw.crop = {(image.height - a.size) / 2, (image.width - a.size) / 2, a.size, a.size};
    ImageTarget target{nullptr, dataset->channels(), a.size, a.channels_last};
    if (a.out == "bytes")
      target.bytes = bytes[t].data() + i % a.batch * values;
    else
      target.data = floats[t].data() + i % a.batch * values;
    write_image(image, draw, normalisation, table, scratch[t], target);
  };
  for (int64_t i = 0; i < dataset->size(); ++i) one(0, i);
  return measure_threads(a, one);
}

nlohmann::json measure_copy(const Arguments& a) {
  const auto bytes = static_cast<size_t>(a.size * a.size * 3 * (a.out == "bytes" ? 1 : 4));
  constexpr size_t kSources = 512;
  std::vector<std::vector<uint8_t>> from(static_cast<size_t>(a.threads)), to(from.size());
  for (size_t t = 0; t < from.size(); ++t) {
    from[t].assign(bytes * kSources, 1);
    to[t].assign(bytes * static_cast<size_t>(a.batch), 1);
  }
  return measure_threads(a, [&](int64_t t, int64_t i) {
    const auto n = static_cast<size_t>(t);
    std::memcpy(to[n].data() + static_cast<size_t>(i % a.batch) * bytes,
                from[n].data() + static_cast<size_t>(i) % kSources * bytes, bytes);
  });
}

nlohmann::json measure_decode(const Arguments& a) {
  const auto dataset = PackedDataset::open(a.data);
  std::vector<std::vector<uint8_t>> scratch(static_cast<size_t>(a.threads));
  const auto one = [&](int64_t thread, int64_t i) {
    dataset->image((thread * 997 + i) % dataset->size(), 1 << 20,
                   scratch[static_cast<size_t>(thread)]);
  };
  for (int64_t i = 0; i < dataset->size(); ++i) one(0, i);
  return measure_threads(a, one);
}

nlohmann::json measure_verify(const Arguments& a) {
  double bytes = 0;
  for (const auto& entry : std::filesystem::directory_iterator(a.data))
    bytes += static_cast<double>(entry.file_size());
  const VerifyOptions options{.threads = a.threads};
  nlohmann::json line = measure(a.seconds, [&]() -> int64_t {
    if (!verify_dataset(a.data, options).empty())
      throw Error(ErrorKind::kData, a.data + " is damaged");
    return 1;
  });
  line["gigabytes_per_second"] = line["per_second"].get<double>() * bytes * 1e-9;
  line["gigabytes_per_cpu_second"] = line["per_cpu_second"].get<double>() * bytes * 1e-9;
  return line;
}

void run(const Arguments& a) {
  nlohmann::json line;
  if (a.task == "crop")
    line = measure_loader(a);
  else if (a.task == "plain")
    line = measure_plain(a);
  else if (a.task == "copy")
    line = measure_copy(a);
  else if (a.task == "decode")
    line = measure_decode(a);
  else if (a.task == "verify")
    line = measure_verify(a);
  else
    throw Error(ErrorKind::kUsage, "unknown task " + a.task,
                "known: crop, plain, copy, decode, verify");
  line["peak_mb"] = status_mb("VmHWM");
  std::printf("%s\n", line.dump().c_str());
}

}  // namespace
}  // namespace baleen

int main(int argc, char** argv) {
  baleen::keep_freed_memory();
  try {
    baleen::run(baleen::parse(argc, argv));
  } catch (...) {
    std::fprintf(stderr, "%s\n", baleen::current_error().what());
    return 1;
  }
  return 0;
}
