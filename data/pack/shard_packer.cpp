#include "data/pack/shard_packer.h"

#include <fmt/format.h>

#include "core/base/atomic_file.h"

namespace baleen {

ShardPacker::ShardPacker(Setup setup) : setup_(std::move(setup)) {
  record_.identity = setup_.identity;
  record_.number = setup_.number;
  record_.entry.file = shard_file_name(setup_.number);
  record_.label_counts.resize(setup_.manifest->label_names.size());
}

void ShardPacker::check_size(ConvertedSample& sample) const {
  const Resolution& size = setup_.manifest->resolutions.at(0);
  if (sample.height != size.height || sample.width != size.width)
    sample.problem =
        fmt::format("it has {} x {} px, {} has {} x {} (set fit: crop or squash)", sample.height,
                    sample.width, setup_.reference, size.height, size.width);
}

int64_t ShardPacker::add(ConvertedSample&& sample, const SourceSample& source) {
  const int64_t position = position_++;
  if (sample.problem.empty()) check_size(sample);
  if (!sample.problem.empty()) {
    record_.bad.push_back({source.id, source.file, sample.problem});
    record_.bad_positions.push_back(position);
    // The shard is not wanted any more, but its other samples are still looked at, to name all bad
    // ones.
    if (!setup_.keep_others) writer_.reset();
    return -1;
  }
  if (!record_.bad.empty() && !setup_.keep_others) return 0;
  if (!writer_)
    writer_ =
        std::make_unique<ShardWriter>(setup_.directory / record_.entry.file, *setup_.manifest);
  writer_->append(sample.row);
  for (const int64_t label : sample.row.labels) ++record_.label_counts[static_cast<size_t>(label)];
  record_.copies += !sample.row.copy_of.empty();
  for (size_t c = 0; c < sample.channel_sums.size(); ++c)
    record_.channel_sums[c] += sample.channel_sums[c];
  int64_t bytes = 0;
  for (const std::vector<uint8_t>& payload : sample.row.payloads) bytes += std::ssize(payload);
  return bytes;
}

ShardRecord ShardPacker::finish() {
  if (writer_) {
    record_.entry = writer_->finish();
    writer_.reset();
  }
  if (record_.bad.empty() || setup_.keep_others)
    write_file_atomically(record_file(setup_.directory / record_.entry.file),
                          to_json_text(record_));
  return std::move(record_);
}

}  // namespace baleen
