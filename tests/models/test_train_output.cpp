// What a run leaves and shows: metrics.jsonl, the progress bar, loss.svg.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <sstream>

#include "core/error.h"
#include "models/train/metrics.h"
#include "models/train/plot.h"
#include "models/train/progress.h"
#include "tests/helpers.h"

using namespace fovea;
using namespace fovea::train;
using fovea::io::Json;

namespace {

Json record(int64_t step, double loss) { return Json::Object{{"step", step}, {"loss", loss}}; }

TEST_CASE("metrics of a killed and resumed run are those of one that was not") {
  Folder folder;
  std::string path = folder / "metrics.jsonl", whole = folder / "whole.jsonl";
  {
    MetricsWriter writer(whole, 0);
    for (int i = 1; i <= 6; i++) writer.write(record(i, 1.0 / i));
  }
  {
    MetricsWriter writer(path, 0);
    for (int i = 1; i <= 5; i++) writer.write(record(i, 1.0 / i));
    CHECK(read_metrics(path).size() == 5);  // every line is there as soon as it is written
  }
  std::ofstream(path, std::ios::app)
      << "{\"step\": 6, \"lo";  // killed within a line, three steps behind its checkpoint
  CHECK(read_metrics(path).size() == 5);
  {
    MetricsWriter writer(path, 3);
    CHECK(read_metrics(path).back() == record(3, 1.0 / 3));
    for (int i = 4; i <= 6; i++) writer.write(record(i, 1.0 / i));
  }
  CHECK(content(path) == content(whole));
  CHECK(content(whole).starts_with("{\"step\": 1, \"loss\": 1.0}\n{\"step\": 2, \"loss\": 0.5}\n"));
  MetricsWriter(path, 0);
  CHECK(content(path) == std::string());
  MetricsWriter(folder / "none.jsonl", 7).write(record(8, 2));
  CHECK(read_metrics(folder / "none.jsonl").size() == 1);
}

TEST_CASE("files that are no metrics, and a full disk") {
  Folder folder;
  std::string path = folder / "m.jsonl";
  std::ofstream(path) << "{\"step\": 1, \"loss\": 2}\n{\"step\": \n{\"step\": 3}\n";
  CHECK(error_of<FileError>([&] { read_metrics(path); }).starts_with(path + ", line 2: not JSON: "));
  CHECK(error_of<FileError>([&] { MetricsWriter(path, 3); }).starts_with(path + ", line 2: not JSON: "));
  CHECK(content(path).size() > 20);                           // a file that was refused is left as it was
  std::ofstream(path) << "{\"step\": 1, \"accuracy\": 2}\n";  // another program's
  CHECK(error_of<FileError>([&] { MetricsWriter(path, 0); }) ==
        path +
            ": has a record without a loss, so it is none of a training run. Move the file away to go on without the " +
            "curve so far");
  CHECK(content(path).size() > 20);
  std::ofstream(path) << "{\"loss\": 1}\n";
  CHECK(error_of<FileError>([&] { read_metrics(path); }) ==
        path + ", line 1: no integer \"step\" (expected one record of metrics a line)");
  CHECK(error_of<FileError>([&] {
          read_metrics(folder / "missing");
        }).ends_with("cannot be opened: No such file or directory"));
  CHECK(error_of<FileError>([&] { MetricsWriter("/dev/full", 0).write(record(1, 2)); }) ==
        std::string("/dev/full: cannot be written: No space left on device"));
  CHECK(error_of<FileError>([&] { MetricsWriter(folder / "no/such", 0); }).find("cannot be opened for writing") !=
        std::string::npos);
}

TEST_CASE("a progress line fits its width and gives up the bar first") {
  ProgressState s{840, 2000, 1.23456, 12345, 95};
  CHECK(progress_line(s, 100, true, false) ==
        std::string(" 42% [================>                       ] 840/2000  loss 1.2346  12.3k tok/s  1:35 left"));
  CHECK(progress_line(s, 100, true, true).find("\x1b[32m====") != std::string::npos);
  CHECK(progress_line(s, 60, true, true) == std::string(" 42% 840/2000  loss 1.2346  12.3k tok/s  1:35 left"));
  CHECK(progress_line(s, 45, true, false) == std::string(" 42% 840/2000  loss 1.2346  1:35 left"));
  CHECK(progress_line(s, 20, true, false) == std::string(" 42% 840/2000"));
  for (int width = 1; width < 120; width++) CHECK(int(progress_line(s, width, true, false).size()) <= width);
  CHECK(progress_line({0, 10, std::nan(""), 0, -1}, 100, false, false) == std::string("  0% 0/10  loss nan"));
  CHECK(progress_line({10, 10, 2, 2.5e6, 0}, 100, false, false) ==
        std::string("100% 10/10  loss 2.0000  2.50M tok/s  0:00 left"));
  CHECK(progress_line({1, 10, 2, 500, 3661}, 100, false, false) ==
        std::string(" 10% 1/10  loss 2.0000  500 tok/s  1:01:01 left"));
  CHECK(progress_line({1, 10, 2, 500, 200000}, 100, false, false) ==
        std::string(" 10% 1/10  loss 2.0000  500 tok/s  2d 7h left"));
}

// A machine may be slow: the time left is not compared.
std::string without_time(std::string s) {
  for (size_t at; (at = s.find(" left")) != s.npos;) {
    size_t begin = s.find_last_of(' ', at - 1);
    s.replace(begin, at + 5 - begin, " -");
  }
  return s;
}

// What a run of three steps prints to a terminal of 72 columns.
std::string on_terminal(const char* no_color, const char* term) {
  setenv("TERM", term, 1);
  setenv("NO_COLOR", no_color, 1);
  int master = posix_openpt(O_RDWR | O_NOCTTY);
  REQUIRE(master >= 0);
  REQUIRE(grantpt(master) == 0);
  REQUIRE(unlockpt(master) == 0);
  FILE* out = fopen(ptsname(master), "w");
  REQUIRE(out);
  winsize size{};
  size.ws_col = 72;
  ioctl(fileno(out), TIOCSWINSZ, &size);
  {
    Progress progress(0, 3, out);
    progress.update(1, 3.5, 100);
    progress.note("saved");
    progress.update(3, 2.5, 100);
  }
  fclose(out);
  std::string text;
  char piece[4096];
  for (ssize_t got; (got = read(master, piece, sizeof piece)) > 0;)
    text.append(piece, size_t(got));  // until EIO: all read
  close(master);
  return text;
}

TEST_CASE("a bar on a terminal, colours unless refused, plain lines elsewhere") {
  std::string colours = on_terminal("", "xterm"), plain = on_terminal("1", "xterm"), dumb = on_terminal("", "dumb");
  INFO(colours);
  CHECK(colours.starts_with("\r 33% [\x1b[32m"));
  CHECK(colours.find("\r\x1b[Ksaved\r\n") != colours.npos);
  CHECK(colours.find("\r100% [") != colours.npos);
  CHECK(colours.ends_with("\x1b[K\r\n"));
  CHECK(plain.find("\x1b[32m") == plain.npos);
  CHECK(plain.find("\r100% [====") != plain.npos);
  std::string lines = " 33% 1/3  loss 3.5000  100 tok/s  -\nsaved\n100% 3/3  loss 2.5000  100 tok/s  -\n";
  std::string terminal_lines;
  for (char c : lines) terminal_lines += c == '\n' ? std::string("\r\n") : std::string(1, c);
  CHECK(without_time(dumb) == terminal_lines);
  Folder folder;
  setenv("TERM", "xterm", 1);
  FILE* file = fopen((folder / "log").c_str(), "w");
  {
    Progress progress(0, 3, file);
    progress.update(1, 3.5, 100);
    progress.note("saved");
    progress.update(2, 3.0, 100);  // within ten seconds: not shown
    progress.update(3, 2.5, 100);
    progress.finish();
  }
  fclose(file);
  CHECK(without_time(content(folder / "log")) == lines);
}

size_t count(const std::string& text, const std::string& what) {
  size_t n = 0;
  for (size_t at = text.find(what); at != text.npos; at = text.find(what, at + 1)) n++;
  return n;
}

TEST_CASE("a loss curve shows its parts, thins what cannot be seen and survives any data") {
  LossPlot plot;
  plot.title = "a < b & \"c\"";
  for (int i = 0; i <= 100'000; i++) plot.training.x.push_back(i), plot.training.y.push_back(1 + 4 / (1 + i / 100.0));
  plot.training.y[50] = std::nan("");
  plot.validation = {{0, 50'000, 100'000}, {5, 1.1, std::numeric_limits<double>::infinity()}};
  plot.floor = 0.5;
  plot.floor_label = "entropy: 0.5";
  for (bool log_x : {false, true}) {
    plot.log_x = log_x;
    std::string svg = to_svg(plot);
    CHECK(svg.starts_with("<svg "));
    CHECK(svg.ends_with("</svg>\n"));
    CHECK(svg.size() < 120'000);
    CHECK(svg.find("a &lt; b &amp; &quot;c&quot;") != svg.npos);
    CHECK(svg.find("nan") == svg.npos);
    CHECK(svg.find("inf") == svg.npos);
    CHECK(svg.find(">100k<") != svg.npos);
    CHECK(svg.find(log_x ? ">100<" : ">40k<") != svg.npos);
    CHECK(svg.find(">entropy: 0.5<") != svg.npos);
    CHECK(count(svg, "stroke-dasharray") == 2);             // the line and its place in the legend
    CHECK(count(svg, "<circle") == (log_x ? 1u : 2u) + 1);  // x = 0 has no logarithm
  }
  for (Curve curve :
       {Curve{}, Curve{{1}, {2}}, Curve{{5, 5}, {0, 0}}, Curve{{0, 1}, {1e30, -1e30}}, Curve{{1, 2}, {1e-30, 2e-30}}}) {
    LossPlot odd;
    odd.training = curve;
    for (bool log_x : {false, true}) {
      odd.log_x = log_x;
      std::string svg = to_svg(odd);
      CHECK(svg.find("nan") == svg.npos);
      CHECK(svg.size() < 20'000);
    }
  }
}

TEST_CASE("curves come from metrics, and a picture that cannot be written is an error") {
  LossPlot plot = loss_plot(
      {record(1, 3), Json::Object{{"step", 2}, {"loss", 2.5}, {"val_loss", 2.75}}, Json::Object{{"step", 3}}});
  CHECK(plot.training.x == std::vector<double>{1, 2});
  CHECK(plot.training.y == std::vector<double>{3, 2.5});
  CHECK(plot.validation.y == std::vector<double>{2.75});
  Folder folder;
  save_svg(plot, folder / "loss.svg");
  CHECK(content(folder / "loss.svg") == to_svg(plot));
  CHECK(std::distance(std::filesystem::directory_iterator(folder.path), {}) == 1);
  CHECK(error_of<FileError>([&] { save_svg(plot, folder / "no/loss.svg"); }).find("no: No such file") !=
        std::string::npos);
}

}  // namespace
