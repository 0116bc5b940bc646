#include "autograd/transforms.h"

#include "autograd/ops/checks.h"
#include "autograd/ops/view.h"
#include "core/dispatch.h"

namespace fovea {
namespace {

using Tensors = std::vector<Tensor>;

// Of the derivatives of y by x.
Shape block_shape(const Tensor& y, const Tensor& x) {
  Shape s = y.shape();
  for (int64_t d : x.shape()) s.push_back(d);
  return s;
}

// One evaluation of f, recorded: the inputs as places of their own to differentiate by, and what f made of them.
struct Evaluated {
  const TransformOptions& o;
  const Tensor::Where& where;
  Tensors x, y;

  Evaluated(const TensorFunction& f, const Tensors& inputs, const TransformOptions& options, const Tensor::Where& w)
      : o(options), where(w) {
    if (inputs.empty()) throw ValueError("no inputs");
    for (size_t i = 0; i < inputs.size(); i++) {
      const Tensor& t = inputs[i];
      if (!t.defined() || !is_floating(t.dtype()))
        throw DTypeError("input " + std::to_string(i) + " is " +
                         (t.defined() ? detail::describe(t.array().view()) : "undefined") +
                         " (expected a floating dtype)");
      x.push_back(o.create_graph && t.requires_grad() ? view(t, t.shape()) : t.detach().requires_grad_());
    }
    y = f(x);
    for (size_t k = 0; k < y.size(); k++) {
      if (!y[k].defined()) throw ValueError("output " + std::to_string(k) + " of the function is undefined");
      if (o.strict && !y[k].requires_grad())
        throw GradientError("output " + std::to_string(k) + " of the function depends on no input");
    }
  }

  // Only for a function of one number.
  void check_number(const char* what) const {
    if (y.size() != 1 || y[0].numel() != 1)
      throw ShapeError("the function gave " +
                       (y.size() == 1 ? to_string(y[0].shape()) : std::to_string(y.size()) + " tensors") +
                       " (expected " + what + ")");
  }

  // `products`, one for each of `like`; zeros where none arrived.
  Tensors filled(Tensors products, const Tensors& like, const char* what) const {
    for (size_t i = 0; i < products.size(); i++)
      if (!products[i].defined()) {
        if (o.strict) throw GradientError(std::string(what) + " " + std::to_string(i) + " is independent of the rest");
        products[i] = zeros_like(like[i].detach());
      }
    return products;
  }

  Tensors outputs() const {
    if (o.create_graph) return y;
    Tensors plain;
    for (const Tensor& t : y) plain.push_back(t.detach());
    return plain;
  }

  // Of those roots that have a history: cotangents to the inputs, undefined where nothing arrives.
  Tensors pulled(const Tensors& roots, const Tensors& cotangents, const Tensors& to, GradOptions g) const {
    Tensors r, c;
    for (size_t k = 0; k < roots.size(); k++)
      if (roots[k].defined() && roots[k].requires_grad()) {
        r.push_back(roots[k]);
        if (!cotangents.empty()) c.push_back(cotangents[k]);
      }
    g.allow_unused = true;
    return r.empty() ? Tensors(to.size()) : grad(r, to, c, g, where);
  }

  // A row for each element of each root: [root][input], of the shapes of both.
  std::vector<Tensors> rows(const Tensors& roots) const {
    std::vector<Tensors> all;
    for (const Tensor& root : roots) {
      std::vector<Tensors> parts(x.size());
      const int64_t n = root.numel();
      for (const Tensor& t : x) numel(block_shape(root, t));  // ShapeError for more than there can be
      for (int64_t e = 0; e < n; e++) {
        Tensor c = zeros(root.shape(), {.like = root.detach()}, where);
        Array place = c.array().reshape_view({n}).narrow(0, e, 1);
        fill(place, 1);
        Tensors dx = filled(pulled({root}, {c}, x, {.create_graph = o.create_graph, .retain_graph = true}), x, "input");
        for (size_t i = 0; i < x.size(); i++) parts[i].push_back(dx[i]);
      }
      Tensors& blocks = all.emplace_back();
      for (size_t i = 0; i < x.size(); i++) {
        const Shape s = block_shape(root, x[i]);
        blocks.push_back(n ? reshape(stack(parts[i], 0, where), s) : zeros(s, {.like = x[i].detach()}));
      }
    }
    return all;
  }
};

void check_like(const Tensors& given, const Tensors& like, const char* what, const char* of) {
  if (given.size() != like.size())
    throw ValueError(std::to_string(given.size()) + " " + what + "s for " + std::to_string(like.size()) + " " + of +
                     "s");
  for (size_t i = 0; i < like.size(); i++)
    if (!given[i].defined() || !(given[i].shape() == like[i].shape()))
      throw ShapeError(std::string(what) + " " + std::to_string(i) + " is " +
                       (given[i].defined() ? to_string(given[i].shape()) : "undefined") + " (expected " +
                       to_string(like[i].shape()) + " as " + of + " " + std::to_string(i) + ")");
}

// Recorded, whatever the caller's mode; errors name `op`, but for those that the function at hand throws itself.
template <class Run> auto transform(const char* op, const Tensor::Where& w, Run run) try {
  ModeScope recording(state(), kGrad, 0);
  return run();
} catch (Error& e) {
  detail::locate(e, op, w);
  throw;
}

const Tensor& only(const std::vector<Tensors>& blocks) {
  if (blocks.size() != 1)
    throw ValueError("the function gave " + std::to_string(blocks.size()) + " tensors (expected 1)");
  return blocks[0][0];
}

}  // namespace

OutputsAndProducts vjp(const TensorFunction& f, const Tensors& inputs, const Tensors& cotangents, TransformOptions o,
                       Tensor::Where w) {
  return transform("vjp", w, [&]() -> OutputsAndProducts {
    Evaluated e(f, inputs, o, w);
    if (cotangents.empty()) e.check_number("one number, or cotangents");
    else check_like(cotangents, e.y, "cotangent", "output");
    return {e.outputs(), e.filled(e.pulled(e.y, cotangents, e.x, {.create_graph = o.create_graph}), e.x, "input")};
  });
}

// The gradient for the cotangents c is linear in c; its derivative by c, along the tangents, is the product asked for.
OutputsAndProducts jvp(const TensorFunction& f, const Tensors& inputs, const Tensors& tangents, TransformOptions o,
                       Tensor::Where w) {
  return transform("jvp", w, [&]() -> OutputsAndProducts {
    check_like(tangents, inputs, "tangent", "input");
    Evaluated e(f, inputs, o, w);
    Tensors c;
    for (const Tensor& t : e.y)
      c.push_back(is_floating(t.dtype()) ? zeros_like(t.detach()).requires_grad_() : Tensor());
    Tensors g = e.pulled(e.y, c, e.x, {.create_graph = true}), to;
    for (size_t k = 0; k < c.size(); k++)
      if (c[k].defined()) to.push_back(c[k]);
    Tensors got = to.empty() ? to : e.pulled(g, tangents, to, {.create_graph = o.create_graph}), products;
    for (size_t k = 0, t = 0; k < c.size(); k++) products.push_back(c[k].defined() ? got[t++] : Tensor());
    return {e.outputs(), e.filled(products, e.y, "output")};
  });
}

std::vector<Tensors> jacobian(const TensorFunction& f, const Tensors& inputs, TransformOptions o, Tensor::Where w) {
  return transform("jacobian", w, [&] {
    Evaluated e(f, inputs, o, w);
    return e.rows(e.y);
  });
}
Tensor jacobian(const TensorFunction& f, const Tensor& x, TransformOptions o, Tensor::Where w) {
  return transform("jacobian", w, [&] { return only(jacobian(f, Tensors{x}, o, w)); });
}

std::vector<Tensors> hessian(const TensorFunction& f, const Tensors& inputs, TransformOptions o, Tensor::Where w) {
  return transform("hessian", w, [&] {
    Evaluated e(f, inputs, o, w);
    e.check_number("one number");
    return e.rows(e.filled(e.pulled(e.y, {}, e.x, {.create_graph = true}), e.x, "input"));
  });
}
Tensor hessian(const TensorFunction& f, const Tensor& x, TransformOptions o, Tensor::Where w) {
  return transform("hessian", w, [&] { return only(hessian(f, Tensors{x}, o, w)); });
}

OutputsAndProducts hvp(const TensorFunction& f, const Tensors& inputs, const Tensors& tangents, TransformOptions o,
                       Tensor::Where w) {
  return transform("hvp", w, [&]() -> OutputsAndProducts {
    check_like(tangents, inputs, "tangent", "input");
    Evaluated e(f, inputs, o, w);
    e.check_number("one number");
    Tensors g = e.pulled(e.y, {}, e.x, {.create_graph = true});
    return {e.outputs(), e.filled(e.pulled(g, tangents, e.x, {.create_graph = o.create_graph}), e.x, "input")};
  });
}

}  // namespace fovea
