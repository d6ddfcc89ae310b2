#pragma once

#include <functional>
#include <string>

#include <vector>

#include "core/config/document.h"
#include "core/config/problems.h"

namespace baleen {

struct Extensions;
struct Recipe;

/// A document as a recipe, without a look at `sweep` beyond its own fields; what is wrong with it
/// is added to `problems`. See decode_recipe().
Recipe decode_one_recipe(const config::Document& document, const Extensions* extensions,
                         std::vector<config::Problem>& problems);

/// Whether a text can name a file or folder of a run on any system: letters, digits, '.', '_', '-',
/// not beginning with a dot.
bool usable_as_file_name(const std::string& text);

/// Runs a check that throws Error, and reports what it says as a problem at `path`.
void report(config::Problems& problems, const std::string& path,
            const std::function<void()>& check);

}  // namespace baleen
