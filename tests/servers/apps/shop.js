// A small shop in Node that logs to the console, and fails as told: shop.js PORT FAULT. SHOP_FORM=json logs as pino does.
"use strict";
const fs = require("fs");
const http = require("http");
const net = require("net");
const os = require("os");

const port = Number(process.argv[2]);
const fault = process.argv[3] || "";
const numbers = { info: 30, warn: 40, error: 50 };

function log(level, msg, error) {
  if (process.env.SHOP_FORM === "json") {
    const err = error && { type: error.name, message: error.message, stack: error.stack };
    console.log(JSON.stringify({ level: numbers[level], time: Date.now(), pid: process.pid, hostname: os.hostname(), msg, err }));
  } else {
    const write = level === "error" ? console.error : console.log;
    write(`[${new Date().toISOString()}] ${level.toUpperCase()} ${msg}`, ...(error ? [error] : []));
  }
}

class OrderError extends Error {
  constructor(message, options) {
    super(message, options);
    this.name = "OrderError";
  }
}

function total(order) {
  return order.items.reduce((sum, item) => sum + item.cents, 0);
}

function handle(number, order) {
  log("info", `order ${number}: ${total(order)} cents, errors: 0`);
}

function connect(host, at) {
  return new Promise((resolve, reject) => net.connect(at, host).on("connect", resolve).on("error", reject));
}

async function failing(number) {
  if (fault === "type") handle(number, {});
  if (fault === "caused") {
    try {
      handle(number, {});
    } catch (cause) {
      throw new OrderError(`order ${number} is incomplete`, { cause });
    }
  }
  if (fault === "refused") await connect("127.0.0.1", port);
  if (fault === "nameless") await connect("backend.invalid", 80);
  if (fault === "full") fs.writeFileSync("/dev/full", "x".repeat(10000));
  if (fault === "absent") fs.readFileSync("/srv/shop/nothing.json");
}

async function main() {
  log("info", `listening on port ${port}, retryOnError=false`);
  for (let number = 0; number < 30; number++) handle(number, { items: [{ cents: 1999 + number }] });
  for (let number = 1000; number < 1003; number++) {
    try {
      await failing(number);
    } catch (error) {
      log("error", `order ${number} failed`, error);
    }
  }
  if (fault === "uncaught") setTimeout(() => handle(1000, {}), 10);
  if (fault === "rejected") Promise.reject(new OrderError("order 1000 was rejected"));
  if (fault === "rejected-text") Promise.reject("no reason");
  if (fault === "port") http.createServer().listen(port, "127.0.0.1");
  if (fault === "memory") for (const held = []; ; ) held.push(new Array(100000).fill(held.length));
  if (fault === "emitted") net.connect(port, "127.0.0.1");
  setTimeout(() => log("info", "stopped, 0 failed"), 50);
}

main();
