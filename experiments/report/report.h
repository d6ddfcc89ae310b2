#pragma once

#include <filesystem>
#include <string>

#include "experiments/report/report_data.h"

namespace baleen {

/// The run as one HTML page that needs nothing else: styles, scripts, images and the chart library
/// are inside. Without scripts everything but the curves remains, which are then a table. Every
/// string of `data` is escaped.
std::string render_report(const ReportData& data);

/// The same in tables for a terminal, without curves, timeline and pictures.
std::string report_text(const ReportData& data);

/// Renders and puts the page in place at once. @throws Error kStorage naming the file.
void write_report(const std::filesystem::path& file, const ReportData& data);

}  // namespace baleen
