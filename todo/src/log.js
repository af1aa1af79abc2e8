/** One line per request on standard output, where `docker logs` finds it. */

export function logRequests(request, response, next) {
  const start = performance.now();
  response.on('close', () => {
    // A health check that went well, every few seconds, is no news.
    if (request.path === '/healthz' && response.statusCode === 200) {
      return;
    }
    const answer = response.writableFinished ? response.statusCode : 'aborted';
    const duration = (performance.now() - start).toFixed(1);
    console.log(`${request.method} ${request.originalUrl} ${answer} ${duration} ms`);
  });
  next();
}
