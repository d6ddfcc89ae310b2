#include <unistd.h>

#include <CLI/App.hpp>
#include <CLI/Validators.hpp>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <sstream>

#include "core/base/logging.h"
#include "experiments/run_directory.h"
#include "launch/process.h"
#include "launch/supervisor/child_process.h"
#include "launch/supervisor/sbatch.h"
#include "launch/supervisor/supervisor.h"
#include "launch/verbs/recipe_arguments.h"
#include "launch/verbs/verbs.h"

namespace baleen {
namespace {

constexpr double kProbeLimitS = 8;

struct LaunchArguments {
  int num_ranks = 0;
  std::string hosts;
  std::string hostfile;
  std::string mpirun = "mpirun";
  std::string remote_shell;
  std::string probe;
  std::vector<std::string> mpirun_options;
  RestartOptions restart;
  bool print = false;
  bool sbatch = false;
  bool with_mpirun = false;
  SbatchOptions batch;
  std::vector<std::string> batch_options;

  // What is handed to `baleen run`, as it was typed, and the parts of it that matter here.
  std::vector<std::string> run_words;
  RecipeArguments recipe;
  std::string run_dir;
  std::string resume;
};

std::vector<std::string> words_of(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

/// The options of `baleen run` that were given, as words again. What that verb learns, this one
/// passes on.
std::vector<std::string> words_given(const std::vector<const CLI::Option*>& options) {
  std::vector<std::string> words;
  for (const CLI::Option* option : options) {
    if (option->count() == 0 || option->get_lnames() == std::vector<std::string>{"help"}) continue;
    if (option->get_positional()) {
      words.insert(words.begin(), option->results().begin(), option->results().end());
    } else if (option->get_expected_max() == 0) {
      words.push_back("--" + option->get_lnames().front());
    } else {
      for (const std::string& value : option->results()) {
        words.push_back("--" + option->get_lnames().front());
        words.push_back(value);
      }
    }
  }
  return words;
}

std::string program_path() {
  std::error_code ignored;
  const auto path = std::filesystem::read_symlink("/proc/self/exe", ignored);
  return path.empty() ? "baleen" : path.string();
}

/// Slurm's numbers of an allocation; of a batch script or an salloc shell.
int slurm_number(const char* variable) {
  const char* text = std::getenv(variable);
  return text && std::getenv("SLURM_JOB_ID") ? std::atoi(text) : 0;
}

MpirunOptions mpirun_options(const LaunchArguments& arguments, const Recipe& recipe) {
  if (!arguments.hosts.empty() && !arguments.hostfile.empty())
    throw Error(ErrorKind::kUsage, "--hosts and --hostfile were both given", "keep one of them");
  MpirunOptions options;
  options.program = arguments.mpirun;
  options.remote_shell = arguments.remote_shell;
  for (const std::string& text : arguments.mpirun_options) {
    for (std::string& word : words_of(text)) options.extra.push_back(std::move(word));
  }
  options.num_ranks = arguments.num_ranks;
  if (!arguments.hosts.empty()) options.hosts = parse_hosts(arguments.hosts);
  if (!arguments.hostfile.empty()) options.hosts = read_hostfile(arguments.hostfile);
  options.threads_per_rank = static_cast<int>(recipe.training.threads_per_rank);
  if (options.hosts.empty()) {
    options.allocation_slots = slurm_number("SLURM_NTASKS");
    options.allocation_nodes = std::max(1, slurm_number("SLURM_JOB_NUM_NODES"));
  }
  options.root = geteuid() == 0;
  return options;
}

/// What mpirun will use: the option, Open MPI's own variable (the first of the alternatives in it),
/// ssh.
std::string remote_shell(const LaunchArguments& arguments) {
  if (!arguments.remote_shell.empty()) return arguments.remote_shell;
  const char* agent = std::getenv("OMPI_MCA_plm_rsh_agent");
  const std::string text = agent ? agent : "";
  const std::string first = text.substr(0, text.find(" : "));
  return words_of(first).empty() ? "ssh" : first;
}

/// Asks a host whether it is there, in the way in which mpirun will reach it.
std::function<bool(const std::string&)> make_probe(const LaunchArguments& arguments) {
  std::vector<std::string> words = words_of(arguments.probe);
  if (words.empty()) {
    words = words_of(remote_shell(arguments));
    if (std::filesystem::path(words.front()).filename() == "ssh") {
      const auto options = {"-o", "BatchMode=yes", "-o", "ConnectTimeout=5"};
      words.insert(words.begin() + 1, options.begin(), options.end());
    }
    words.insert(words.end(), {"{}", "true"});
  }
  if (std::find(words.begin(), words.end(), "{}") == words.end())
    throw Error(ErrorKind::kUsage, "--probe does not say where the host's name goes",
                "write {} there: --probe 'ping -c 1 -W 2 {}'");
  return [words](const std::string& host) {
    std::vector<std::string> command = words;
    std::replace(command.begin(), command.end(), std::string("{}"), host);
    try {
      return run_quietly(command, kProbeLimitS) == 0;
    } catch (const Error& error) {
      log_error("can't ask host {}: {}", host, error.what());
      return false;
    }
  };
}

/// Takes `--resume never` out. @returns whether it was there
bool take_out_never(std::vector<std::string>& words) {
  const std::vector<std::string> never = {"--resume", "never"};
  const auto at = std::search(words.begin(), words.end(), never.begin(), never.end());
  if (at == words.end()) return false;
  words.erase(at, at + 2);
  return true;
}

/// What another start is told: to go on with what an earlier one began, and to wait for its locks.
std::vector<std::string> words_of_restart(std::vector<std::string> words) {
  take_out_never(words);
  if (std::find(words.begin(), words.end(), "--wait") == words.end())
    words.insert(words.end(), {"--wait", std::to_string(kHeldRunWait_s)});
  return words;
}

int print_batch_script(const LaunchArguments& arguments, const Recipe& recipe,
                       std::vector<std::string> run_command) {
  SbatchOptions options = arguments.batch;
  options.job_name = recipe.name;
  options.extra = arguments.batch_options;
  options.threads_per_rank = static_cast<int>(recipe.training.threads_per_rank);
  options.gpus = recipe.training.device == "cuda";
  options.num_ranks = arguments.num_ranks > 0 ? arguments.num_ranks : options.num_nodes;
  options.supervised = arguments.with_mpirun;
  if (options.num_ranks < options.num_nodes)
    throw Error(ErrorKind::kUsage,
                fmt::format("{} ranks can't fill {} nodes", options.num_ranks, options.num_nodes),
                "ask for fewer --nodes, or more ranks with -n");
  if (options.supervised) {
    run_command[1] = "launch";
    run_command.insert(run_command.begin() + 2,
                       {"--max-restarts", std::to_string(arguments.restart.max_restarts)});
  } else {
    options.fresh = take_out_never(run_command);
  }
  std::fputs(sbatch_script(options, run_command).c_str(), stdout);
  return 0;
}

int launch(LaunchArguments& arguments, const VerbContext& context) {
  // A shell of `srun --pty` is a step of one task, from which mpirun can be called.
  const LaunchPlace place = launch_place();
  if (place.world_size > 1 || place.launcher == "mpirun")
    throw Error(ErrorKind::kUsage, "`baleen launch` was itself started by a launcher",
                "start it once: it calls mpirun. Under srun or mpirun, use `baleen run`");
  // Mistakes in the recipe are said here, once, before anything is started.
  Extensions extensions = *context.extensions;
  Recipe recipe = arguments.recipe.load(extensions);
  if (arguments.recipe.print_config) {
    std::fputs(describe(recipe).c_str(), stdout);
    return 0;
  }
  if (!arguments.run_dir.empty()) recipe.run_dir = arguments.run_dir;
  const Resume resume = Resume::parse(arguments.resume.empty() ? "auto" : arguments.resume);

  std::vector<std::string> command = {program_path(), "run"};
  command.insert(command.end(), arguments.run_words.begin(), arguments.run_words.end());
  if (arguments.sbatch) return print_batch_script(arguments, recipe, command);

  SuperviseRequest request;
  request.mpirun = mpirun_options(arguments, recipe);
  request.topology = read_topology();
  if (recipe.training.device == "cpu") request.topology.gpu_numa_nodes.clear();
  if (arguments.print) {
    std::puts(
        paste_ready(mpirun_command(request.mpirun, request.topology, variable_names(), command))
            .c_str());
    return 0;
  }
  request.restart = arguments.restart;
  request.run_directory = resume.path.empty() ? recipe.run_directory() : resume.path;
  request.again = words_of_restart(command);
  // The first start of this process may not be the job's.
  const bool requeued = slurm_number("SLURM_RESTART_COUNT") > 0;
  request.command = requeued ? request.again : std::move(command);
  // A run that was there before this job stays refused, whatever became of the first start.
  if (!requeued && resume.mode == Resume::Mode::kNever &&
      std::filesystem::exists(RunDirectory(request.run_directory).config()))
    request.again = request.command;
  request.answers = make_probe(arguments);
  return supervise(request);
}

void declare_mpirun_options(CLI::App& app, LaunchArguments& arguments) {
  app.add_option("-n", arguments.num_ranks,
                 "ranks; default: what hosts, allocation, GPUs or cores allow")
      ->check(CLI::Range(1, 1000000).description(""))
      ->option_text("N");
  app.add_option("--hosts", arguments.hosts, "hosts with their ranks")->option_text("A:2,B:2");
  app.add_option("--hostfile", arguments.hostfile, "the same from a file, NAME slots=2 per line")
      ->option_text("FILE");
  app.add_option("--max-restarts", arguments.restart.max_restarts,
                 "in a row without progress; default: 3")
      ->check(CLI::Range(0, 1000000).description(""))
      ->option_text("K");
  app.add_option("--backoff", arguments.restart.first_wait_s,
                 "seconds before the first restart, doubled for each further one; default: 2")
      ->check(CLI::Range(0.0, 86400.0).description(""))
      ->option_text("SECONDS");
  app.add_option("--rsh", arguments.remote_shell,
                 "how other hosts are reached; default: $OMPI_MCA_plm_rsh_agent, else ssh")
      ->option_text("COMMAND");
  app.add_option("--probe", arguments.probe,
                 "asks whether host {} is there; default: ssh to it, for at most 5 s")
      ->option_text("COMMAND");
  app.add_option("--mpirun", arguments.mpirun, "the program; default: mpirun")->option_text("PATH");
  app.add_option("--mpirun-options", arguments.mpirun_options,
                 "handed to it as they are, e.g. '--mca btl_tcp_if_include ib0'; may be repeated")
      ->option_text("WORDS")
      ->allow_extra_args(false);
  app.add_flag("--print", arguments.print, "print the line of mpirun, start nothing");
}

void declare_batch_options(CLI::App& app, LaunchArguments& arguments) {
  app.add_flag("--sbatch", arguments.sbatch, "print a batch script for Slurm, start nothing");
  app.add_option("--nodes", arguments.batch.num_nodes, "with --sbatch: nodes; default: 1")
      ->check(CLI::Range(1, 1000000).description(""))
      ->option_text("N");
  app.add_option("--time", arguments.batch.time,
                 "with --sbatch: limit of one start; default: 24:00:00")
      ->option_text("LIMIT");
  app.add_option("--partition", arguments.batch.partition, "with --sbatch: default: the cluster's")
      ->option_text("NAME");
  app.add_option("--notice", arguments.batch.notice_s,
                 "with --sbatch: seconds between announcement and end; default: 120")
      ->check(CLI::Range(1, 65535).description(""))
      ->option_text("SECONDS");
  app.add_option("--sbatch-options", arguments.batch_options,
                 "with --sbatch: further directives, e.g. --account=x; may be repeated")
      ->option_text("WORD")
      ->allow_extra_args(false);
  app.add_flag("--with-mpirun", arguments.with_mpirun,
               "with --sbatch: mpirun under `baleen launch`, not srun");
}

void declare(CLI::App& app, const std::shared_ptr<LaunchArguments>& arguments,
             const Verb& run_verb) {
  run_verb.declare_options(app);
  std::vector<const CLI::Option*> of_run;
  for (const CLI::Option* option : app.get_options()) of_run.push_back(option);
  declare_mpirun_options(app, *arguments);
  declare_batch_options(app, *arguments);
  app.callback([&app, arguments, of_run] {
    arguments->run_words = words_given(of_run);
    arguments->recipe.file = app.get_option("recipe")->as<std::string>();
    arguments->recipe.assignments = app.get_option("--set")->results();
    arguments->recipe.print_config = app.get_option("--print-config")->count() > 0;
    if (const CLI::Option* option = app.get_option("--run-dir"); option->count() > 0)
      arguments->run_dir = option->as<std::string>();
    if (const CLI::Option* option = app.get_option("--resume"); option->count() > 0)
      arguments->resume = option->as<std::string>();
  });
}

}  // namespace

Verb make_launch_verb() {
  Verb verb;
  verb.name = "launch";
  verb.summary = "mpirun with the right options, restarted after crashes and lost hosts; sbatch";
  verb.examples =
      "  baleen launch planet.yaml                              every core or GPU of this machine\n"
      "  baleen launch --hosts a:4,b:4 planet.yaml --run-dir runs/two-hosts\n"
      "  baleen launch -n 4 --print planet.yaml                 the line of mpirun, to paste\n"
      "  baleen launch -n 8 --nodes 2 --sbatch planet.yaml > planet.sbatch\n"
      "Options of `baleen run` are passed on to it.";
  verb.files = {
      {"RUN/launch.jsonl", "every start with its end, lost hosts, signals"},
      {"RUN/", "see baleen-run(1)"},
  };
  auto arguments = std::make_shared<LaunchArguments>();
  auto run_verb = std::make_shared<Verb>(make_run_verb());
  verb.declare_options = [arguments, run_verb](CLI::App& app) {
    declare(app, arguments, *run_verb);
  };
  verb.run = [arguments](VerbContext& context) { return launch(*arguments, context); };
  return verb;
}

}  // namespace baleen
