#include <ATen/Version.h>
#include <ATen/core/ivalue.h>
#include <ATen/cpu/Utils.h>
#include <ATen/ops/ones.h>
#include <dlfcn.h>
#include <fmt/format.h>
#include <torch/headeronly/version.h>

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

Check check_libtorch() {
  Check check{"LibTorch"};
  check.finding =
      fmt::format("{}, from {}", TORCH_VERSION,
                  library_of(reinterpret_cast<const void*>(&at::cpu::get_cpu_capabilities)));
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

}  // namespace

std::vector<Check> check_software() {
  return {{"Baleen", Check::Verdict::kGood, baleen_version()},
          check_libtorch(),
          check_instruction_set(),
          {"MPI", Check::Verdict::kGood, mpi_library_version()},
          {"HDF5", Check::Verdict::kGood, hdf5_library_version()},
          {"OpenCV", Check::Verdict::kGood, opencv_library_version()}};
}

}  // namespace baleen
