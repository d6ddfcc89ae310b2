#include <ATen/Version.h>
#include <ATen/core/ivalue.h>
#include <ATen/cpu/Utils.h>
#include <ATen/ops/ones.h>
#include <dlfcn.h>
#include <fmt/format.h>
#include <torch/headeronly/version.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <regex>

#include "data/library_versions.h"
#include "distributed/library_versions.h"
#include "experiments/environment.h"
#include "launch/doctor/check.h"

namespace baleen {
namespace {

/// File of the shared library that holds `symbol`.
std::string library_of(const void* symbol) {
  Dl_info info = {};
  return dladdr(symbol, &info) && info.dli_fname ? info.dli_fname : "an unknown file";
}

/// What the package around a libtorch_cpu.so says of its version: `version.py` of a wheel,
/// `build-version` of a zip. Empty where there is neither.
std::string packaged_version(const std::filesystem::path& library) {
  const std::filesystem::path root = library.parent_path().parent_path();
  std::ifstream zip(root / "build-version");
  std::string line;
  if (std::getline(zip, line)) return line;
  std::ifstream wheel(root / "version.py");
  while (std::getline(wheel, line)) {
    if (line.rfind("__version__", 0) != 0) continue;
    const size_t open = line.find('\'');
    const size_t close = line.rfind('\'');
    if (open < close) return line.substr(open + 1, close - open - 1);
  }
  return {};
}

Check check_libtorch() {
  Check check{"LibTorch"};
  const std::string library =
      library_of(reinterpret_cast<const void*>(&at::cpu::get_cpu_capabilities));
  check.finding = fmt::format("{}, from {}", TORCH_VERSION, library);
  const std::string packaged = packaged_version(library);
  if (!packaged.empty() && packaged.substr(0, packaged.find('+')) != TORCH_VERSION) {
    check.verdict = Check::Verdict::kBad;
    check.finding =
        fmt::format("built with the headers of {}, but {} is {}", TORCH_VERSION, library, packaged);
    check.remedy = "build Baleen again, or lead LD_LIBRARY_PATH away from that library";
    return check;
  }
  const double sum = at::ones({8, 8}).matmul(at::ones({8, 8})).sum().item<double>();
  if (sum != 512) {
    check.verdict = Check::Verdict::kBad;
    check.finding += fmt::format("; 8×8 ones times 8×8 ones sums to {} instead of 512", sum);
    check.remedy = "the library at run time is not the one Baleen was built with; build again";
  }
  return check;
}

Check check_instruction_set() {
  Check check{"instructions"};
  const auto abilities = at::cpu::get_cpu_capabilities();
  const auto able = [&](const char* name) {
    const auto found = abilities.find(name);
    return found != abilities.end() && found->second.isBool() && found->second.toBool();
  };
  const auto cpu_name = abilities.find("cpu_name");
  if (cpu_name != abilities.end() && cpu_name->second.isString()) {
    check.finding = cpu_name->second.toStringRef() + "; ";
  }
  const std::string capability = at::get_cpu_capability();
  check.finding += fmt::format("LibTorch uses {}; bfloat16: {}", capability,
                               able("amx_bf16")      ? "AMX"
                               : able("avx512_bf16") ? "AVX-512"
                                                     : "emulated");
  if (capability == "DEFAULT" || capability == "default") {
    check.verdict = Check::Verdict::kNote;
    check.remedy =
        "no AVX2 here: training runs several times slower than on a processor of the last ten "
        "years";
  }
  return check;
}

Check check_mpi_library() {
  Check check{"MPI"};
  const std::string loaded = mpi_library_version();
  const std::string headers = mpi_header_version();
  check.finding = loaded;
  if (loaded == headers) return check;
  // Releases of one series keep their binary interface; others may not.
  const auto series = [](const std::string& text) { return text.substr(0, text.find('.')); };
  check.verdict = series(loaded) == series(headers) ? Check::Verdict::kNote : Check::Verdict::kBad;
  check.finding = fmt::format("{}, built with the headers of {}", loaded, headers);
  check.remedy = "load the module that Baleen was built with, or build it again";
  return check;
}

/// The first number of the form 4.1.4 in a text.
std::string version_in(const std::string& text) {
  std::smatch found;
  return std::regex_search(text, found, std::regex(R"(\d+\.\d+(\.\d+)?)")) ? found.str() : "";
}

}  // namespace

Check check_mpirun() {
  Check check{"mpirun"};
  FILE* pipe = popen("mpirun --version 2>/dev/null", "re");
  char line[256] = {};
  const bool said = pipe && std::fgets(line, sizeof line, pipe);
  if (pipe) pclose(pipe);
  if (!said) {
    check.verdict = Check::Verdict::kNote;
    check.finding = "none on the PATH";
    check.remedy = "load the module of Open MPI, or start ranks with srun --mpi=pmix";
    return check;
  }
  check.finding = std::string(line).substr(0, std::string(line).find('\n'));
  const std::string own = version_in(line);
  const std::string library = version_in(mpi_library_version());
  if (own.empty() || library.empty() || own == library) return check;
  check.verdict = Check::Verdict::kBad;
  check.finding += fmt::format(", but the library is {}", library);
  check.remedy = "its ranks may not find each other: put the library's own mpirun first in PATH";
  return check;
}

std::vector<Check> check_software() {
  return {{"Baleen", Check::Verdict::kGood, baleen_version()},
          check_libtorch(),
          check_instruction_set(),
          check_mpi_library(),
          {"HDF5", Check::Verdict::kGood, hdf5_library_version()},
          {"OpenCV", Check::Verdict::kGood, opencv_library_version()}};
}

}  // namespace baleen
