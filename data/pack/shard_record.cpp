#include "data/pack/shard_record.h"

#include <fmt/format.h>

#include <charconv>
#include <nlohmann/json.hpp>

namespace baleen {

using Json = nlohmann::ordered_json;

std::string to_json_text(const ShardRecord& record) {
  Json json;
  json["identity"] = record.identity;
  json["number"] = record.number;
  json["file"] = record.entry.file;
  json["rows"] = record.entry.rows;
  json["bytes"] = record.entry.bytes;
  json["digest"] = record.entry.digest;
  json["datasets"] = record.entry.datasets;
  json["places"] = Json::object();
  for (const auto& [name, place] : record.entry.places)
    json["places"][name] = {place.offset, place.bytes};
  json["copies"] = record.copies;
  json["label_counts"] = record.label_counts;
  json["channel_sums"] = record.channel_sums;
  json["bad_positions"] = record.bad_positions;
  json["bad"] = Json::array();
  for (const BadImage& bad : record.bad)
    json["bad"].push_back({bad.id, bad.file.string(), bad.reason});
  // File names are bytes, JSON is UTF-8: what is none is replaced, as it only serves messages.
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

ShardRecord shard_record_from(const std::string& text) {
  const Json json = Json::parse(text);
  ShardRecord record;
  json.at("identity").get_to(record.identity);
  json.at("number").get_to(record.number);
  json.at("file").get_to(record.entry.file);
  json.at("rows").get_to(record.entry.rows);
  json.at("bytes").get_to(record.entry.bytes);
  json.at("digest").get_to(record.entry.digest);
  json.at("datasets").get_to(record.entry.datasets);
  for (const auto& [name, place] : json.at("places").items())
    record.entry.places[name] = {place.at(0).get<int64_t>(), place.at(1).get<int64_t>()};
  json.at("copies").get_to(record.copies);
  json.at("label_counts").get_to(record.label_counts);
  json.at("channel_sums").get_to(record.channel_sums);
  json.at("bad_positions").get_to(record.bad_positions);
  for (const Json& bad : json.at("bad"))
    record.bad.push_back(
        {bad.at(0).get<std::string>(), bad.at(1).get<std::string>(), bad.at(2).get<std::string>()});
  return record;
}

std::string shard_file_name(int64_t number) { return fmt::format("shard-{:03}.h5", number); }

int64_t shard_number(const std::string& file_name) {
  const size_t dash = file_name.find('-');
  int64_t number = -1;
  if (dash != std::string::npos)
    std::from_chars(file_name.data() + dash + 1, file_name.data() + file_name.size(), number);
  return number >= 0 && shard_file_name(number) == file_name ? number : -1;
}

std::filesystem::path record_file(const std::filesystem::path& shard) {
  return shard.string() + ".done";
}

}  // namespace baleen
