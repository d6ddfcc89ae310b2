#include "launch/reference/man_pages.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <sstream>

#include "core/base/error.h"

namespace baleen {
namespace {

constexpr const char* kAbout =
    "One mpirun takes packed images through k-fold, backbone and resolution, collects the "
    "out-of-fold predictions, stacks them with ridge regression and writes a report. It can be "
    "stopped at any instant and goes on where it was, on as many processes as there are then; "
    "weights and predictions are the same bits either way. Each verb has a page of its own.";

struct ExitCode {
  ErrorKind kind;
  const char* meaning;
};

// docs/exit-codes.md has them with what to do; a test compares the two.
constexpr std::array<ExitCode, 9> kExitCodes = {{
    {ErrorKind::kUsage, "the command line is wrong, or another job holds the run directory"},
    {ErrorKind::kConfiguration, "a recipe or dataset description is wrong; nothing was started"},
    {ErrorKind::kData, "a dataset, image, table or checkpoint is missing, malformed or damaged"},
    {ErrorKind::kInternal, "a defect in Baleen"},
    {ErrorKind::kStorage, "the operating system refused a read or write"},
    {ErrorKind::kInterrupted, "a signal asked the run to stop; the same line goes on with it"},
    {ErrorKind::kHang, "nothing was heard of a rank: it is stopped, or its host is gone"},
    {ErrorKind::kCommunication, "a peer was lost or a collective operation failed"},
    {ErrorKind::kNumeric,
     "a loss, gradient or prediction is not finite, or ranks hold different weights"},
}};

struct Variable {
  const char* name;
  const char* meaning;
};
constexpr std::array<Variable, 3> kVariables = {{
    {"BALEEN_BIND", "0: ranks are not bound to the NUMA node of their device"},
    {"BALEEN_CUDA_PLUGIN", "the library with CUDA and NCCL, if it is not beside the program"},
    {"NO_COLOR", "set: no colours on a terminal"},
}};

/// Text that roff prints as it is. Hyphens are those of a command, to be copied.
std::string escape(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '\\') {
      escaped += "\\e";
    } else if (c == '-') {
      escaped += "\\-";
    } else if (c == '\'') {
      escaped += "\\(aq";
    } else {
      escaped += c;
    }
  }
  if (escaped.starts_with('.')) escaped.insert(0, "\\&");
  return escaped;
}

std::string bold(const std::string& text) { return "\\fB" + escape(text) + "\\fR"; }
std::string italic(const std::string& text) { return "\\fI" + escape(text) + "\\fR"; }

/// A sentence of a help text, which starts without capital and ends without full stop. What begins
/// with values, "auto: …" or "mean, rank", is to be typed as it is.
std::string sentence(std::string text) {
  if (text.empty()) return text;
  const std::string first = text.substr(0, text.find(' '));
  const bool value = first.ends_with(':') || first.ends_with(',');
  if (!value) text[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(text[0])));
  return text.ends_with('.') ? text : text + ".";
}

/// "auto|never|PATH": what is typed as it is in bold, what stands for something else in italics.
std::string value_text(const OptionDescription& option) {
  std::string text, word;
  const auto add = [&] {
    const auto& choices = option.choices;
    const bool literal = std::find(choices.begin(), choices.end(), word) != choices.end();
    text += literal ? bold(word) : italic(word);
    word.clear();
  };
  for (const char c : option.value) {
    if (c == '|') {
      add();
      text += "|";
    } else {
      word += c;
    }
  }
  add();
  return text;
}

std::string operand_text(const OptionDescription& option) {
  std::string text = italic(option.value);
  if (option.repeated) text += " ...";
  return option.required ? text : "[" + text + "]";
}

std::string title_of(const CommandDescription& command) {
  return command.name.empty() ? "baleen" : "baleen-" + command.name;
}

std::string program_of(const CommandDescription& command) {
  return command.name.empty() ? "baleen" : "baleen " + command.name;
}

std::string heading(const CommandDescription& command, const std::string& version,
                    const std::string& date) {
  std::string title = title_of(command);
  for (char& c : title) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  std::string summary = command.summary;
  if (summary.ends_with('.')) summary.pop_back();
  return fmt::format(
      ".TH {} 1 {} \"Baleen {}\" \"Baleen\"\n"
      ".SH NAME\n{} \\- {}\n",
      escape(title), date, version, escape(title_of(command)), escape(summary));
}

std::string synopsis(const CommandDescription& command) {
  std::string text = ".SH SYNOPSIS\n" + bold(program_of(command));
  if (command.name.empty()) return text + " \\fIverb\\fR [\\fIoption\\fR ...]\n";
  for (const OptionDescription& option : command.options) {
    if (option.is_operand()) text += " " + operand_text(option);
  }
  return text + " [\\fIoption\\fR ...]\n";
}

std::string option_entry(const OptionDescription& option) {
  std::string names;
  for (const std::string& name : option.names) {
    names += (names.empty() ? "" : ", ") + bold(name);
    if (!option.value.empty()) names += " " + value_text(option);
  }
  if (option.is_operand()) names = italic(option.value);
  return fmt::format(".TP\n{}\n{}\n", names, escape(sentence(option.help)));
}

std::string options_section(const CommandDescription& command, const CommandDescription& program) {
  std::string operands, options;
  for (const OptionDescription& option : command.options)
    (option.is_operand() ? operands : options) += option_entry(option);
  std::string text;
  if (!operands.empty()) text += ".SH OPERANDS\n" + operands;
  text += ".SH OPTIONS\n" + options;
  if (command.name.empty()) return text;
  for (const OptionDescription& option : program.options) {
    // Of the program's own options these are understood behind a verb, too.
    if (!option.value.empty()) text += option_entry(option);
  }
  return text;
}

/// Indented lines are set as they are, the others are paragraphs.
std::string examples_section(const CommandDescription& command) {
  std::string text, remarks;
  std::istringstream lines(command.examples);
  bool listing = false;
  for (std::string line; std::getline(lines, line);) {
    if (line.empty()) continue;
    const bool indented = line.starts_with("  ");
    if (indented != listing) text += indented ? ".PP\n.nf\n.RS 4\n" : ".RE\n.fi\n.PP\n";
    listing = indented;
    text += escape(indented ? line.substr(2) : line) + "\n";
  }
  if (listing) text += ".RE\n.fi\n";
  // A paragraph right behind a heading is the heading's own.
  if (text.starts_with(".PP\n")) text.erase(0, 4);
  return text.empty() ? text : ".SH EXAMPLES\n" + text;
}

std::string exit_section() {
  std::string text =
      ".SH EXIT STATUS\n.TP\n0\nDone, or was complete already.\n.TP\n1\n"
      "\\fBdoctor\\fR found something to mend, or \\fBverify\\fR found damage.\n";
  for (const ExitCode& code : kExitCodes) {
    text += fmt::format(".TP\n{} ({})\n{}\n", exit_code(code.kind), name_of(code.kind),
                        escape(sentence(code.meaning)));
  }
  return text;
}

std::string files_section(const CommandDescription& command) {
  if (command.files.empty()) return {};
  std::string text = ".SH FILES\n";
  for (const VerbFile& file : command.files)
    text += fmt::format(".TP\n{}\n{}\n", italic(file.path), escape(sentence(file.what)));
  return text;
}

std::string environment_section() {
  std::string text = ".SH ENVIRONMENT\nNone of them changes results.\n";
  for (const Variable& variable : kVariables)
    text += fmt::format(".TP\n{}\n{}\n", bold(variable.name), escape(sentence(variable.meaning)));
  return text;
}

std::string verbs_section(std::span<const CommandDescription> commands) {
  std::string text = ".SH VERBS\n";
  for (const CommandDescription& command : commands) {
    if (!command.name.empty())
      text += fmt::format(".TP\n\\fB{}\\fR(1)\n{}\n", escape(title_of(command)),
                          escape(sentence(command.summary)));
  }
  return text;
}

std::string see_also(const CommandDescription& command) {
  const std::string mpirun = "\\fBmpirun\\fR(1)";
  return ".SH SEE ALSO\n" + (command.name.empty() ? mpirun : "\\fBbaleen\\fR(1), " + mpirun) + "\n";
}

}  // namespace

std::vector<ManPage> man_pages(std::span<const CommandDescription> commands,
                               const std::string& version, const std::string& date) {
  std::vector<ManPage> pages;
  const CommandDescription& program = commands.front();
  for (const CommandDescription& command : commands) {
    const bool whole = command.name.empty();
    std::string text = ".\\\" Made by `baleen docs man`.\n" + heading(command, version, date);
    text += synopsis(command);
    text += ".SH DESCRIPTION\n" + escape(sentence(command.summary)) + "\n";
    if (whole) text += ".PP\n" + escape(kAbout) + "\n" + verbs_section(commands);
    text += options_section(command, program);
    text += examples_section(command) + exit_section() + files_section(command);
    if (whole) text += environment_section();
    text += see_also(command);
    pages.push_back({title_of(command) + ".1", std::move(text)});
  }
  return pages;
}

}  // namespace baleen
