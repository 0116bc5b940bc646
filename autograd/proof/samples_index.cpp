// Samples of gathering, scattering, embedding and sorting.
#include <limits>

#include "autograd/proof/sample.h"

namespace fovea::proof {
namespace {

template <op::Id id> void scatters(Samples& s) {
  s.add<id>({reals({4, 3}), ids({2, 3}, 4), reals({2, 3})}, {0});
  s.add<id>({reals({3, 5}), ids({3, 4}, 5), reals({3, 4})}, {1}).named("last axis").sums(4);
  s.add<id>({reals({2, 3}), ids({2, 6}, 2), reals({2, 6})}, {-1}).named("many to a place").sums(6);
  s.add<id>({none(), ids({5, 2}, 3), reals({5, 2})}, {0, 3}).named("no base").sums(5);
  s.add<id>({none(), ids({0, 2}, 3), reals({0, 2})}, {0, 3}).named("no base, nothing");
  s.add<id>({reals({3}), ids({0}, 3), reals({0})}, {0}).named("nothing");
  s.add<id>({reals({1}), ids({1}, 1), reals({1})}, {0}).named("single");
  s.add<id>({reals({3, 4}), integers({3, 2}, 0, 4, i32), reals({3, 2})}, {1}).named("i32").sums(2);
}

}  // namespace

void detail::index_samples(Samples& s) {
  s.add<op::gather>({reals({4, 3}), ids({2, 3}, 4)}, {0}).sums(2);
  s.add<op::gather>({reals({3, 4}), ids({2, 6}, 4)}, {1}).named("repeated").sums(6);
  s.add<op::gather>({reals({2, 3, 4}), ids({2, 5, 1}, 3)}, {-2}).named("middle").sums(5);
  s.add<op::gather>({reals({3, 4}), integers({3, 2}, 0, 4, i32)}, {1}).named("i32").sums(2);
  s.add<op::gather>({reals({1}), ids({1}, 1)}, {0}).named("single");
  s.add<op::gather>({reals({3, 2}), ids({0, 2}, 3)}, {0}).named("nothing");
  s.add<op::gather>({reals({}), ids({}, 1)}, {0}).named("0-dim");
  scatters<op::scatter>(s);
  scatters<op::scatter_add>(s);
  s.add<op::scatter_backward>({reals({4, 3}), ids({2, 3}, 4)}, {0});
  s.add<op::scatter_backward>({reals({3, 5}), ids({3, 4}, 5)}, {1}).named("last axis");
  s.add<op::scatter_backward>({reals({2, 3}), ids({2, 6}, 2)}, {-1}).named("many to a place");
  s.add<op::scatter_backward>({reals({4, 3}), ids({6, 1}, 4)}, {0}).named("narrow");
  s.add<op::scatter_backward>({reals({3}), ids({0}, 3)}, {0}).named("nothing");
  s.add<op::scatter_backward>({reals({1}), ids({1}, 1)}, {0}).named("single");
  s.add<op::scatter_backward>({reals({}), ids({}, 1)}, {0}).named("0-dim");
  s.add<op::scatter_backward>({reals({3, 4}), integers({3, 2}, 0, 4, i32)}, {1}).named("i32");
  s.add<op::scatter_backward>({reals({3, 90, 150}), ids({3, 90, 150}, 90)}, {1}).named("threads").threaded();
  s.add<op::embedding>({ids({5}, 4), reals({4, 3})}, {}).sums(5);
  s.add<op::embedding>({ids({2, 3}, 4), reals({4, 2})}, {1}).named("padding").sums(6);
  s.add<op::embedding>({integers({2, 3}, 0, 4, i32), reals({4, 5})}, {}).named("i32").sums(6);
  s.add<op::embedding>({ids({}, 2), reals({2, 3})}, {}).named("one id");
  s.add<op::embedding>({ids({0}, 2), reals({2, 3})}, {}).named("no id");
  s.add<op::embedding>({ids({1, 1}, 1), reals({1, 1})}, {}).named("single");
  s.add<op::embedding>({ids({700}, 50), reals({50, 96})}, {}).named("threads").sums(30).threaded();
  s.add<op::embedding_backward>({reals({5, 3}), ids({5}, 4)}, {4, -1}).sums(5);
  s.add<op::embedding_backward>({reals({2, 3, 2}), ids({2, 3}, 4)}, {4, 1}).named("padding").sums(6);
  s.add<op::embedding_backward>({reals({0, 2}), ids({0}, 3)}, {3, -1}).named("no id");
  s.add<op::embedding_backward>({reals({1, 1}), ids({1}, 1)}, {1, -1}).named("single");
  s.add<op::embedding_backward>({reals({700, 96}), ids({700}, 50)}, {50, -1}).named("threads").sums(30).threaded();
  s.add<op::true_places>({exactly({2, 4}, {0, 1, 1, 0, 0, 0, 1, 0}, boolean)}, {3});
  s.add<op::true_places>({exactly({4}, {1, 1, 0, 1}, boolean)}, {2}).named("fewer than there are");
  s.add<op::true_places>({exactly({2, 2}, {0, 1, 0, 0}, boolean)}, {3}).named("more than there are");
  s.add<op::upper_bound>({exactly({2, 4}, {0, 1, 1, 2, -1, 0, 5, 6}), exactly({2, 3}, {1, -1, 3, 5, 0.5, 9})}, {});
  s.add<op::upper_bound>({exactly({1, 0}, {}), exactly({1, 2}, {1, 2})}, {}).named("nothing");
  s.add<op::upper_bound>({exactly({1, 1}, {2}), exactly({1, 1}, {1})}, {}).named("single");
  s.add<op::true_places>({truths({0, 3})}, {0}).named("empty");
  s.add<op::true_places>({truths({})}, {0}).named("0-dim");
  s.add<op::true_places>({exactly({1}, {1}, boolean)}, {1}).named("single");
  s.add<op::true_places>({truths({3, 40, 500})}, {20000}).named("threads").threaded();
  for (bool descending : {false, true}) {
    s.add<op::sort>({apart({3, 5})}, {1, descending, 2}).named("first 2");
    s.add<op::sort>({apart({40, 2})}, {0, descending, 1}).named("first of columns");
    s.add<op::sort>({apart({2, 3})}, {1, descending, 0}).named("first 0");
    s.add<op::sort>({apart({3, 5})}, {1, descending});
    s.add<op::sort>({apart({4, 2})}, {0, descending}).named("columns");
    s.add<op::sort>({apart({0, 2})}, {1, descending}).named("empty");
    s.add<op::sort>({apart({1})}, {0, descending}).named("single");
    s.add<op::sort>({exactly({2, 4}, {2, 1, 2, 1, 0, std::numeric_limits<double>::quiet_NaN(), -1, 0})},
                    {1, descending})
        .named("ties and NaN")
        .up_to(0, "ties: any order of equals is a derivative");
  }
}

}  // namespace fovea::proof
