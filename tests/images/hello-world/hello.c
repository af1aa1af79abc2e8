/* The whole of the stand-in for hello-world: one static program, nothing else. */

#include <stdio.h>

int main(void)
{
    puts("\n"
         "Hello from Docker!\n"
         "If you can read this, your engine works: the client asked the daemon for an\n"
         "image, the daemon fetched it, made a container of it, ran the one program in it,\n"
         "and sent what that program wrote back to your terminal.\n"
         "\n"
         "(This image stands in for Docker Hub's hello-world, which this box cannot reach.)");
    return 0;
}
