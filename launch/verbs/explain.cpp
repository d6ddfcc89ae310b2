#include <CLI/App.hpp>
#include <CLI/Validators.hpp>
#include <cstdio>

#include "experiments/explain/explain_job.h"
#include "experiments/extensions.h"
#include "launch/process.h"
#include "launch/verbs/verbs.h"

namespace baleen {

Verb make_explain_verb() {
  Verb verb;
  verb.name = "explain";
  verb.summary = "show what a network looks at: Grad-CAM, saliency, SmoothGrad, guided backprop";
  verb.examples =
      "  baleen explain runs/planet --chain resnet18-f0-s1\n"
      "  baleen explain runs/planet --labels haze,cloudy --pick best --count 6\n"
      "  baleen explain resnet18-f0-s1.safetensors --images photos/ --methods gradcam\n"
      "docs/analysis.md explains the methods.";
  verb.files = {
      {"OUT/explain.html, OUT/sheet.png", "all images and maps at a glance"},
      {"OUT/*.png", "an overlay for each image, label and method"},
  };
  auto job = std::make_shared<ExplainJob>();
  verb.declare_options = [job](CLI::App& app) {
    app.add_option("source", job->source, "run directory, or weights that `baleen export` wrote")
        ->required();
    app.add_option("--chain", job->chain, "of the run; default: the first that is finished")
        ->option_text("NAME");
    app.add_option("--images", job->images,
                   "files or folders; default: held-out images of the chain")
        ->option_text("PATH...");
    app.add_option("--ids", job->ids, "samples of the run's dataset, separated by commas")
        ->delimiter(',')
        ->option_text("ID,...");
    app.add_option("--labels", job->labels,
                   "labels to explain, separated by commas; default: each image's likeliest")
        ->delimiter(',')
        ->option_text("LABEL,...");
    app.add_option("--methods", job->methods,
                   "gradcam, saliency, smoothgrad, guided; default: all of them")
        ->delimiter(',')
        ->option_text("METHOD,...");
    app.add_option("--pick", job->pick, "which held-out images; default: worst")
        ->check(CLI::IsMember({"worst", "best", "first"}).description(""))
        ->option_text("worst|best|first");
    app.add_option("--count", job->count, "images at most; default: 12")
        ->check(CLI::Range(1, 10000).description(""))
        ->option_text("N");
    app.add_option("--top", job->top, "labels per image where none are named; default: 2")
        ->check(CLI::Range(1, 1000).description(""))
        ->option_text("N");
    app.add_option("--opacity", job->opacity, "of the map over the image; default: 0.4")
        ->check(CLI::Range(0.0, 1.0).description(""))
        ->option_text("SHARE");
    app.add_option("--out", job->output, "folder to write to; default: explain")
        ->option_text("DIR");
  };
  verb.run = [job](VerbContext& context) {
    if (launch_place().rank > 0) return 0;
    std::fputs(run_explain_job(*job, context.extensions->backbones).c_str(), stdout);
    return 0;
  };
  return verb;
}

}  // namespace baleen
