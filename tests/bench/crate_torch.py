"""The CRATE and ViT classifiers in PyTorch, written for the speed comparison only: eager modules, float32, one
product per line of the papers' formulas, or with PyTorch's own fused attention (a ViT always has it).

A worker: reads one JSON request per line, answers one JSON line. `bench_vs_pytorch` drives it.
"""

import json
import os
import resource
import sys
import time

try:
    import torch
except ImportError as error:
    print(json.dumps({"error": f"no PyTorch: {error}"}), flush=True)
    sys.exit(0)
from torch import nn
from torch.nn import functional as F


# Seconds for which a turn goes on, as on the other side.
TURN = 0.25


class Attention(nn.Module):
    def __init__(self, d, heads, p, fused):
        super().__init__()
        self.heads, self.p, self.fused = heads, p, fused
        self.norm = nn.LayerNorm(d)
        self.bases = nn.Linear(d, heads * p, bias=False)
        self.output = nn.Linear(heads * p, d)

    def forward(self, z):
        b, n, _ = z.shape
        w = self.bases(self.norm(z)).view(b, n, self.heads, self.p).transpose(1, 2)
        if self.fused:
            read = F.scaled_dot_product_attention(w, w, w)
        else:
            scores = torch.matmul(w, w.transpose(-1, -2)) * self.p**-0.5
            read = torch.matmul(scores.softmax(dim=-1), w)
        return self.output(read.transpose(1, 2).reshape(b, n, -1))


class Ista(nn.Module):
    def __init__(self, d, step=0.1, threshold=0.1):
        super().__init__()
        self.norm = nn.LayerNorm(d)
        self.dictionary = nn.Parameter(torch.empty(d, d))
        nn.init.kaiming_uniform_(self.dictionary)
        self.step, self.threshold = step, threshold

    def forward(self, z):
        x = self.norm(z)
        x1 = F.linear(x, self.dictionary)
        gradient = F.linear(x1, self.dictionary.t())
        target = F.linear(x, self.dictionary.t())
        step = self.step * (target - gradient) - self.step * self.threshold
        return F.relu(x + step)


class MultiHead(nn.Module):
    def __init__(self, d, heads):
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(d)
        self.projection = nn.Linear(d, 3 * d)
        self.output = nn.Linear(d, d)

    def forward(self, z):
        b, n, d = z.shape
        q, k, v = self.projection(self.norm(z)).view(b, n, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        read = F.scaled_dot_product_attention(q, k, v)
        return self.output(read.transpose(1, 2).reshape(b, n, d))


class Perceptron(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.layers = nn.Sequential(
            nn.LayerNorm(d), nn.Linear(d, 4 * d), nn.GELU(), nn.Linear(4 * d, d)
        )

    def forward(self, z):
        return z + self.layers(z)


class Classifier(nn.Module):
    def __init__(self, c, fused):
        super().__init__()
        d, patch = c["d"], c["patch"]
        self.patch = patch
        width = patch * patch * c["channels"]
        tokens = (c["image"] // patch) ** 2 + 1
        vit = c["architecture"] == "vit"
        self.embed = (
            nn.Linear(width, d)
            if vit
            else nn.Sequential(nn.LayerNorm(width), nn.Linear(width, d), nn.LayerNorm(d))
        )
        self.position = nn.Parameter(torch.randn(1, tokens, d))
        self.class_token = nn.Parameter(torch.randn(1, 1, d))
        self.pool = vit

        def layer():
            blocks = (
                [MultiHead(d, c["heads"]), Perceptron(d)]
                if vit
                else [Attention(d, c["heads"], d // c["heads"], fused), Ista(d)]
            )
            return nn.ModuleList(blocks)

        self.layers = nn.ModuleList(layer() for _ in range(c["depth"]))
        self.head = nn.Sequential(nn.LayerNorm(d), nn.Linear(d, c["classes"]))

    def forward(self, x):
        b, c, h, w = x.shape
        q = self.patch
        x = x.view(b, c, h // q, q, w // q, q).permute(0, 2, 4, 3, 5, 1).reshape(b, -1, q * q * c)
        z = torch.cat([self.class_token.expand(b, -1, -1), self.embed(x)], dim=1) + self.position
        for attention, feed_forward in self.layers:
            z = feed_forward(z + attention(z))
        return self.head(z[:, 1:].mean(dim=1) if self.pool else z[:, 0])


def official_rate(projection, heads):
    """Row-normalised coding rate of every head as the official measurement has it, f32."""
    b, n, inner = projection.shape
    p = inner // heads
    w = projection.view(b, n, heads, p).transpose(1, 2)
    w = w / w.norm(dim=-1, keepdim=True)
    eye = torch.eye(n)
    gram = eye + (p / (n * 0.01)) * torch.matmul(w, w.transpose(-1, -2))
    return torch.logdet(gram).sum(dim=-1) / 2


class Subject:
    def __init__(self, request):
        torch.manual_seed(0)
        c = request["network"]
        self.device = request.get("device", "cpu")
        self.mode = request["mode"]
        self.model = Classifier(c, self.mode != "eager").to(self.device)
        batch = request["batch"]
        self.x = torch.randn(batch, c["channels"], c["image"], c["image"]).to(self.device)
        self.y = torch.randint(0, c["classes"], (batch,)).to(self.device)
        self.work = request["work"]
        self.optimiser = torch.optim.AdamW(self.model.parameters(), lr=1e-4)
        self.run = torch.compile(self.model) if self.mode == "compiled" else self.model

    def once(self):
        self.work_once()
        if self.device == "cuda":
            torch.cuda.synchronize()

    def work_once(self):
        with torch.autocast(self.device, torch.bfloat16, enabled=self.mode == "bf16"):
            self.forward_or_train()

    def forward_or_train(self):
        if self.work == "forward":
            with torch.no_grad():
                self.run(self.x)
            return
        self.optimiser.zero_grad()
        F.cross_entropy(self.run(self.x), self.y, label_smoothing=0.1).backward()
        self.optimiser.step()


class Product:
    def __init__(self, request):
        torch.manual_seed(0)
        self.matrix = torch.randn(request["tokens"], request["tokens"]).to(request["device"])

    def once(self):
        return (self.matrix @ self.matrix).mean().item()


class Rates:
    def __init__(self, request):
        torch.manual_seed(0)
        self.heads = request["heads"]
        self.tokens = [
            torch.randn(request["batch"], request["tokens"], request["heads"] * request["p"])
            for _ in range(request["layers"])
        ]

    def once(self):
        for tokens in self.tokens:
            official_rate(tokens, self.heads)


def main():
    # Libraries below PyTorch print to the standard output as well: the answers get a copy of their own.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    subject = None
    for line in sys.stdin:
        request = json.loads(line)
        answer = {}
        try:
            if request["do"] == "load":
                torch.set_num_threads(request["threads"])
                subject = {"rates": Rates, "product": Product}.get(request["work"], Subject)(request)
                subject.once()
                subject.once()
            else:
                begin, seconds = time.perf_counter(), []
                while not seconds or time.perf_counter() - begin < TURN:
                    start = time.perf_counter()
                    subject.once()
                    seconds.append(time.perf_counter() - start)
                answer["seconds"] = sorted(seconds)[len(seconds) // 2]
            answer["peak_kib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            answer["version"] = torch.__version__
        except Exception as error:  # The other side prints it and goes on without us.
            answer = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
        print(json.dumps(answer), file=answers, flush=True)


main()
