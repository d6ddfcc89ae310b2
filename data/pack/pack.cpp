#include "data/pack/pack.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <thread>

#include "core/base/digest.h"
#include "core/base/error.h"
#include "core/base/stopwatch.h"
#include "core/config/decode.h"
#include "core/config/encode.h"
#include "data/pack/append.h"
#include "data/pack/balance.h"
#include "data/pack/group_duplicates.h"
#include "data/pack/ordered_converter.h"
#include "data/pack/pack_plan.h"
#include "data/pack/selection.h"
#include "data/pack/shard_packer.h"

namespace baleen {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

// The rules of the configuration, for options that were not read from a file.
void check_options(const PackOptions& options) {
  config::decode<PackOptions>(config::Document::parse(config::to_yaml(options), "pack options"));
}

fs::path output_path(const PackOptions& options) {
  const fs::path output = fs::path(options.output).lexically_normal();
  return output.has_filename() ? output : output.parent_path();
}

// The sources, with the dataset's own order of labels where they are to be appended to one.
SourceList list_all(const PackOptions& options, bool append) {
  const fs::path output = output_path(options);
  PackOptions listed = options;
  if (append && fs::exists(output / Manifest::kFileName))
    listed = options_for_appending(options, read_manifest(output));
  SourceList list = list_sources(listed);
  apply_limits(options, list);
  return list;
}

// What will become one dataset each; which samples go where is found out later. The identities are
// of options and sources alone, so that a complete dataset is known as such without another look at
// any image.
std::vector<PartOwner::Request> plan_parts(const PackOptions& options, const SourceList& list,
                                           const PackControl& control) {
  const std::string common = fmt::format("{}\n{}\nversion {}\n", effective_options(options),
                                         digest_of(list), Manifest::kVersion);
  const fs::path output = output_path(options);
  std::vector<PartOwner::Request> parts;
  parts.push_back({.target = output, .identity = digest_hex(common + "train")});
  if (options.hold_out > 0)
    parts.push_back({.target = output.string() + "-test", .identity = digest_hex(common + "test")});
  for (PartOwner::Request& part : parts) {
    part.overwrite = control.overwrite;
    part.append = control.append;
  }
  return parts;
}

// The samples of each part, after copies for balance were added to the list. A pure function of
// options and list: every process does it by itself.
std::vector<std::vector<size_t>> divide(const PackOptions& options, SourceList& list) {
  const std::vector<bool> held = choose_hold_out(options, list);
  std::vector<std::vector<size_t>> samples(held.empty() ? 1 : 2);
  for (size_t i = 0; i < list.samples.size(); ++i)
    samples[!held.empty() && held[i] ? 1 : 0].push_back(i);
  add_balancing_copies(options, list, samples[0]);
  return samples;
}

// Of the samples, but not of the state of their files: every process looks at the list alone.
std::string digest_of_names(const SourceList& list) {
  Digest digest;
  for (const std::string& name : list.label_names) digest.update(name + "\n");
  for (const SourceSample& sample : list.samples) digest.update(description_of(sample));
  return digest.hex();
}

void check_same_sources(const PackTeam& team, const std::vector<std::string>& digests) {
  for (size_t rank = 1; rank < digests.size(); ++rank) {
    if (digests[rank] == digests[0]) continue;
    if (team.rank > 0) throw PeerFailed();
    throw Error(ErrorKind::kData, fmt::format("rank {} finds other sources than rank 0", rank),
                "put images and tables on a file system that all hosts share");
  }
}

int64_t thread_count(const PackOptions& options) {
  if (options.threads > 0) return options.threads;
  return std::max<int64_t>(1, std::thread::hardware_concurrency());
}

double cpu_seconds() {
  struct rusage usage {};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// A shard that this process makes.
struct Job {
  size_t part = 0;
  const PlannedShard* shard = nullptr;
};

// Every process takes its share of the shards, in turn.
std::vector<Job> my_jobs(const std::vector<PackPart>& parts, const PackTeam& team) {
  std::vector<Job> jobs;
  int64_t count = 0;
  for (size_t p = 0; p < parts.size(); ++p)
    for (const PlannedShard& shard : parts[p].todo)
      if (count++ % team.size == team.rank) jobs.push_back({p, &shard});
  return jobs;
}

// Makes this process's shards; returns their records by part.
std::vector<std::vector<ShardRecord>> make_shards(const PackOptions& options,
                                                  const SourceList& list,
                                                  const std::vector<PackPart>& parts,
                                                  const PackTeam& team, TeamWork& work,
                                                  int64_t& stored_bytes) {
  const std::vector<Job> jobs = my_jobs(parts, team);
  std::vector<size_t> samples;
  for (const Job& job : jobs)
    samples.insert(samples.end(), job.shard->samples.begin(), job.shard->samples.end());
  OrderedConverter converter(options, list, std::move(samples), thread_count(options));
  std::vector<std::vector<ShardRecord>> records(parts.size());
  for (const Job& job : jobs) {
    const PackPart& part = parts[job.part];
    ShardPacker packer({.manifest = &part.manifest,
                        .reference = part.reference,
                        .directory = OutputDirectory::working_path(part.target),
                        .number = job.shard->number,
                        .identity = job.shard->identity,
                        .keep_others = options.bad_images == "quarantine"});
    for (const size_t i : job.shard->samples) {
      const int64_t bytes = packer.add(converter.next(), list.samples[i]);
      stored_bytes += std::max<int64_t>(bytes, 0);
      work.add(std::max<int64_t>(bytes, 0), bytes < 0);
    }
    records[job.part].push_back(packer.finish());
  }
  return records;
}

// What a process tells rank 0 of its work.
std::string report_text(const std::vector<std::vector<ShardRecord>>& records, int64_t stored_bytes,
                        double cpu_s) {
  Json json;
  json["stored_bytes"] = stored_bytes;
  json["cpu_s"] = cpu_s;
  json["records"] = Json::array();
  for (const auto& of_part : records) {
    Json texts = Json::array();
    for (const ShardRecord& record : of_part) texts.push_back(to_json_text(record));
    json["records"].push_back(std::move(texts));
  }
  return json.dump();
}

void throw_bad_images(const std::vector<std::vector<ShardRecord>>& records, int64_t total) {
  std::string lines;
  int64_t count = 0;
  for (const auto& of_part : records)
    for (const ShardRecord& record : of_part)
      for (const BadImage& image : record.bad) {
        lines += fmt::format("\n    {}: {}", image.file.string(), image.reason);
        ++count;
      }
  if (count == 0) return;
  throw Error(ErrorKind::kData,
              fmt::format("{} of {} images can't be packed:{}", count, total, lines),
              "repair or remove these files, or set bad_images: quarantine to pack without them; "
              "shards without bad images are kept for that");
}

PackSummary::Part summary_of(const PartOwner& owner, bool append) {
  PackSummary::Part part;
  part.directory = owner.part().target;
  part.rows = owner.manifest().rows;
  for (const ShardEntry& shard : owner.manifest().shards) part.bytes += shard.bytes;
  part.already_complete = owner.part().complete;
  part.num_new = owner.num_appended();
  part.appended = append && part.num_new < part.rows;
  part.quarantined = owner.bad();
  part.label_names = owner.manifest().label_names;
  part.label_counts = owner.manifest().label_counts;
  return part;
}

// One pack by one process of a team.
class Packing {
 public:
  Packing(const PackOptions& options, const PackControl& control)
      : options_(options), control_(control), team_(control.team) {}

  PackSummary run() {
    const std::vector<std::string> digests = share(team_, [&] {
      list_ = list_all(options_, control_.append);
      return digest_of_names(list_);
    });
    check_same_sources(team_, digests);
    prepare();
    plan();
    const Stopwatch watch;
    work();
    summary_.seconds = watch.elapsed_s();
    share(team_, [&] {
      if (team_.rank == 0) finish();
      return std::string();
    });
    return std::move(summary_);
  }

 private:
  // All that must be known of the images before they are divided.
  void prepare() {
    const std::vector<std::string> texts = share(team_, [&]() -> std::string {
      if (team_.rank > 0) return "";
      requests_ = plan_parts(options_, list_, control_);
      bool all_there = true;
      for (const PartOwner::Request& request : requests_)
        all_there &= PartOwner::is_settled(request);
      return all_there ? "" : "to do";
    });
    if (options_.duplicates.group && !texts[0].empty())
      group_duplicates(options_, team_, control_.stop_requested, thread_count(options_), list_);
  }

  void plan() {
    const std::vector<std::string> texts = share(team_, [&]() -> std::string {
      std::vector<std::vector<size_t>> samples = divide(options_, list_);
      if (team_.rank > 0) return "";
      Json json = Json::array();
      for (size_t p = 0; p < requests_.size(); ++p) {
        requests_[p].samples = std::move(samples.at(p));
        owners_.push_back(std::make_unique<PartOwner>(options_, list_, std::move(requests_[p])));
        json.push_back(to_json_text(owners_.back()->part()));
      }
      return json.dump();
    });
    for (const Json& text : Json::parse(texts[0]))
      parts_.push_back(pack_part_from(text.get<std::string>(), options_, list_));
    for (const PackPart& part : parts_) {
      start_.total += part.num_samples;
      start_.resumed += part.num_resumed;
    }
    start_.done = start_.resumed;
  }

  void work() {
    const std::vector<std::string> reports = share(team_, [&] {
      TeamWork team_work(team_, start_, control_.on_progress, control_.stop_requested);
      const double cpu_before = cpu_seconds();
      std::vector<std::vector<ShardRecord>> made;
      int64_t stored = 0;
      try {
        made = make_shards(options_, list_, parts_, team_, team_work, stored);
      } catch (...) {
        team_work.call_off();
        try {
          team_work.end();
        } catch (const Error&) {
          // A signal on top of a failure: the failure is what counts.
        }
        throw;
      }
      team_work.end();
      return report_text(made, stored, cpu_seconds() - cpu_before);
    });
    made_.resize(parts_.size());
    for (const std::string& report : reports) {
      const Json json = Json::parse(report);
      summary_.stored_bytes += json.at("stored_bytes").get<int64_t>();
      summary_.cpu_seconds += json.at("cpu_s").get<double>();
      for (size_t p = 0; p < parts_.size(); ++p)
        for (const Json& text : json.at("records").at(p))
          made_[p].push_back(shard_record_from(text.get<std::string>()));
    }
  }

  // Rank 0 only.
  void finish() {
    for (std::vector<ShardRecord>& records : made_)
      std::sort(records.begin(), records.end(),
                [](const ShardRecord& a, const ShardRecord& b) { return a.number < b.number; });
    if (options_.bad_images == "fail") throw_bad_images(made_, start_.total);
    summary_.notes = list_.notes;
    summary_.processes = team_.size;
    summary_.images = start_.total - start_.resumed;
    summary_.resumed = start_.resumed;
    for (size_t p = 0; p < owners_.size(); ++p) {
      owners_[p]->finish(std::move(made_[p]));
      summary_.parts.push_back(summary_of(*owners_[p], control_.append));
    }
  }

  const PackOptions& options_;
  const PackControl& control_;
  const PackTeam& team_;
  SourceList list_;
  std::vector<PartOwner::Request> requests_;        // on rank 0
  std::vector<std::unique_ptr<PartOwner>> owners_;  // on rank 0
  std::vector<PackPart> parts_;
  std::vector<std::vector<ShardRecord>> made_;  // by part
  PackProgress start_;
  PackSummary summary_;
};

}  // namespace

PackSummary pack_dataset(const PackOptions& options, const PackControl& control) {
  check_options(options);
  return Packing(options, control).run();
}

}  // namespace baleen
